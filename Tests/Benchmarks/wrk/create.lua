-- Creates leads, each with a key of its own: RUN names this run of wrk, which has one thread.
local headers = { Authorization = "Bearer " .. os.getenv("TOKEN"), ["Content-Type"] = "application/json" }
local body = '{"first_name":"Greta","last_name":"Fischer","company":"Kestrel Freight","email":"greta.fischer@kestrel.example","status":"new"}'
local run, turn = os.getenv("RUN"), 0
function request()
  turn = turn + 1
  headers["Idempotency-Key"] = run .. "-" .. turn
  return wrk.format("POST", "/v1/leads", headers, body)
end
