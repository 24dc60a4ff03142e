-- Sends METHOD to PATHTO with BODY, in which @ becomes the number of the request.
local headers = { Authorization = "Bearer " .. os.getenv("TOKEN"), ["Content-Type"] = "application/json" }
local method, path, body, turn = os.getenv("METHOD"), os.getenv("PATHTO"), os.getenv("BODY"), 0
if body == "" then body = nil end
function request()
  turn = turn + 1
  return wrk.format(method, path, headers, body and body:gsub("@", tostring(turn % 101)))
end
