-- GET /orders/{id} of the orders of a file, in random order.

require "report"

local requests = {}

function init(arguments)
  for id in io.lines(arguments[1]) do
    requests[#requests + 1] = wrk.format("GET", "/orders/" .. id)
  end
  math.randomseed(4)
end

function request()
  return requests[math.random(#requests)]
end
