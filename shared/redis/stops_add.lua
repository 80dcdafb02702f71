-- Stops something, if what it was decided on still holds.
--
-- KEYS     stops, resumes
-- ARGV     name, the stop, how often it had been resumed when that was decided, reasons of stops whose place it may
--          take, each between spaces
-- Answers  1 if it is there now and was not before

if tonumber(redis.call('HGET', KEYS[2], ARGV[1]) or 0) > tonumber(ARGV[3]) then return 0 end
local known = redis.call('HGET', KEYS[1], ARGV[1])
if known and not string.find(ARGV[4], ' ' .. cmsgpack.unpack(known)[STOP.reason] .. ' ', 1, true) then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return 1
