-- Reads the newest fifty leads.
local headers = { Authorization = "Bearer " .. os.getenv("TOKEN") }
function request() return wrk.format("GET", "/v1/leads?limit=50", headers) end
