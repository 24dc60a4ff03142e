-- Asks for one of PATHS after another, each time with the next of the tokens in the file TOKENS. Each connection waits DELAY ms before it
-- asks again, if there is one, and ends with its answer where CLOSE says so.
local paths, tokens, requests, turn = {}, {}, {}, 0
for path in os.getenv("PATHS"):gmatch("%S+") do paths[#paths + 1] = path end
for token in io.lines(os.getenv("TOKENS")) do tokens[#tokens + 1] = token end
-- The host is not known before.
function init()
  for number = 1, math.max(#paths, #tokens) do
    local headers = { Authorization = "Bearer " .. tokens[(number - 1) % #tokens + 1], Connection = os.getenv("CLOSE") and "close" }
    requests[number] = wrk.format("GET", paths[(number - 1) % #paths + 1], headers)
  end
end
function request()
  turn = turn % #requests + 1
  return requests[turn]
end
local milliseconds = tonumber(os.getenv("DELAY"))
if milliseconds then
  function delay() return milliseconds end
end
