-- Reads the leads in LEADS one after another; if RESOURCE says so, other records.
local headers = { Authorization = "Bearer " .. os.getenv("TOKEN") }
local paths, turn, resource = {}, 0, os.getenv("RESOURCE") or "leads"
for id in os.getenv("LEADS"):gmatch("%S+") do paths[#paths + 1] = "/v1/" .. resource .. "/" .. id end
function request()
  turn = turn % #paths + 1
  return wrk.format("GET", paths[turn], headers)
end
