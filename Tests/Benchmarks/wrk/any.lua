-- Sends METHOD to PATHTO with BODY. In both @ becomes a number: the place of one of 64 records in the path, another value each time in the body.
local headers = { Authorization = "Bearer " .. os.getenv("TOKEN"), ["Content-Type"] = "application/json" }
local method, path, body, turn = os.getenv("METHOD"), os.getenv("PATHTO"), os.getenv("BODY"), 0
if body == "" then body = nil end
function request()
  turn = turn + 1
  return wrk.format(method, (path:gsub("@", tostring(turn % 64))), headers, body and body:gsub("@", tostring(turn % 101)))
end
