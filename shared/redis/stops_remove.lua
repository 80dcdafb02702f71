-- Resumes what is stopped, if it is still the stop that was seen: nothing is resumed on a consent to another one.
--
-- KEYS     stops, resumes
-- ARGV     name, since when it is stopped as was seen, how often it is resumed with this ('': that is not counted)
-- Answers  1 if it was still the same stop

local known = redis.call('HGET', KEYS[1], ARGV[1])
if not known or cmsgpack.unpack(known)[STOP.since_ms] ~= tonumber(ARGV[2]) then return 0 end
redis.call('HDEL', KEYS[1], ARGV[1])
if ARGV[3] ~= '' then redis.call('HSET', KEYS[2], ARGV[1], ARGV[3]) end
return 1
