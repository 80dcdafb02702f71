-- Changes one element of a stop, if it is still the one that was seen.
--
-- KEYS     stops
-- ARGV     name, since when it is stopped as was seen, the element to change, its value
-- Answers  1 if it was still the same stop

local known = redis.call('HGET', KEYS[1], ARGV[1])
local stop = known and cmsgpack.unpack(known)
if not stop or stop[STOP.since_ms] ~= tonumber(ARGV[2]) then return 0 end
stop[tonumber(ARGV[3])] = tonumber(ARGV[4])
redis.call('HSET', KEYS[1], ARGV[1], cmsgpack.pack(stop))
return 1
