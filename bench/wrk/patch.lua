-- PATCH /orders/{id}/status: brings the orders of a file to confirmed, then all to shipped, then all to delivered, so
-- that every change is one. It fails the run when they are used up.

require "report"

local statuses = {"confirmed", "shipped", "delivered"}
local ids, sent = {}, -1 -- wrk asks for one request before it begins, and does not send it

function init(arguments)
  for id in io.lines(arguments[1]) do
    ids[#ids + 1] = id
  end
end

function request()
  if sent < 0 then
    sent = 0
    return wrk.format("GET", "/dashboard")
  end
  local status = statuses[math.floor(sent / #ids) + 1]
  if not status then
    io.stderr:write("no order is left to change\n")
    os.exit(1)
  end
  local path = "/orders/" .. ids[sent % #ids + 1] .. "/status"
  sent = sent + 1
  return wrk.format("PATCH", path, {["Content-Type"] = "application/json"}, '{"status":"' .. status .. '"}')
end
