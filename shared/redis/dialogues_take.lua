-- Takes a session of those that were asked for.
--
-- KEYS     sessions that were taken
-- ARGV     how many were asked for
-- Answers  its number, from 1; 0: there are enough, or nobody waits any more

local taken = tonumber(redis.call('GET', KEYS[1]))
if not taken or taken >= tonumber(ARGV[1]) then return 0 end
return redis.call('INCR', KEYS[1])
