-- What a map has of some addresses.
--
-- KEYS     the map
-- ARGV     the addresses
-- Answers  of those that are there, the place among them from 0 and the value: place, value, place, value …

local found, base = {}, KEYS[1]
local buckets = addressed_buckets(base)
if buckets == 0 then return found end
local half = addressed_half(buckets)
local whole, begin = 2 * half, base .. ':'
local sha1, call, sub, format = redis.sha1hex, redis.call, string.sub, string.format
for i = 1, #ARGV do
  local address = ARGV[i]
  local at = tonumber(sub(sha1(address), 1, 8), 16) % whole
  if at >= buckets then at = at - half end
  local value = call('HGET', begin .. format('%.0f', at), address)
  if value then
    found[#found + 1] = i - 1
    found[#found + 1] = value
  end
end
return found
