-- What a map has of some addresses. Their hashes come with them: Redis has one thread, and those who ask are many.
--
-- KEYS     the map
-- ARGV     the hashes of the addresses (msgpack), then the addresses
-- Answers  of those that are there, the place among them from 0 and the value: place, value, place, value …

local found, buckets, begin = {}, addressed_buckets(KEYS[1]), KEYS[1] .. ':'
if buckets == 0 then return found end
local half, call = addressed_half(buckets), redis.call
local whole = 2 * half
for i, hash in ipairs(cmsgpack.unpack(ARGV[1])) do
  local at = hash % whole
  if at >= buckets then at = at - half end
  local value = call('HGET', begin .. at, ARGV[i + 1])
  if value then
    found[#found + 1] = i - 1
    found[#found + 1] = value
  end
end
return found
