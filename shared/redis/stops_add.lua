-- Stops something, if what it was decided on still holds.
--
-- KEYS     stops, resumes
-- ARGV     name, the stop, how often it had been resumed when that was decided, 1 if it may take the place of a pause
-- Answers  1 if it is there now and was not before

if tonumber(redis.call('HGET', KEYS[2], ARGV[1]) or 0) > tonumber(ARGV[3]) then return 0 end
local known = redis.call('HGET', KEYS[1], ARGV[1])
if known and (ARGV[4] ~= '1' or cmsgpack.unpack(known)[STOP.reason] ~= 'paused') then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return 1
