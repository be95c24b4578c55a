-- POST /orders, each with one to three items, for many customers. With an argument: writes the ids that were answered
-- to the file of that name.

require "report"

local products = {
  {"nw-11", "Queso Cabrales", 14}, {"nw-14", "Tofu", 18.6}, {"nw-38", "Côte de Blaye", 263.5}, {"nw-41", "Chai", 7.7},
  {"nw-42", "Singaporean Hokkien Fried Mee", 9.8}, {"nw-51", "Manjimup Dried Apples", 42.4},
  {"nw-65", "Louisiana Fiery Hot Pepper Sauce", 16.8}, {"nw-72", "Mozzarella di Giovanni", 34.8},
}
local item = '{"productId":"%s","productName":"%s","quantity":%d,"price":%s}'
local order = '{"customerId":"customer-%d","items":[%s],"shippingAddress":'
  .. '{"name":"Vins et alcools %d","street":"59 rue de l\'Abbaye","city":"Reims","postalCode":"51100","country":"France"}}'

local function body(number)
  local items = {}
  for index = 1, number % 3 + 1 do
    local id, name, price = unpack(products[(number * 5 + index) % #products + 1])
    items[index] = item:format(id, name, (number + index) % 40 + 1, price)
  end
  return order:format(number % 500, table.concat(items, ","), number)
end

local requests, sent = {}, 0

function init(arguments)
  for number = 1, 1500 do
    requests[number] = wrk.format("POST", "/orders", {["Content-Type"] = "application/json"}, body(number))
  end
  if arguments[1] then
    local file = assert(io.open(arguments[1], "w"))
    function response(status, headers, text)
      local id = text:match('"orderId":"([^"]+)"')
      if id then -- a refusal has none; wrk counts it
        file:write(id, "\n")
      end
    end
  end
end

function request()
  sent = sent + 1
  return requests[sent % #requests + 1]
end
