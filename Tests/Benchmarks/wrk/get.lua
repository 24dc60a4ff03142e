-- Reads the leads in LEADS one after another.
local headers = { Authorization = "Bearer " .. os.getenv("TOKEN") }
local paths, turn = {}, 0
for id in os.getenv("LEADS"):gmatch("%S+") do paths[#paths + 1] = "/v1/leads/" .. id end
function request()
  turn = turn % #paths + 1
  return wrk.format("GET", paths[turn], headers)
end
