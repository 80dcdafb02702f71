-- Makes a group, from the beginning of the stream, and registers it as one that reads. In one step, so that no group is
-- there that nobody heeds.
--
-- KEYS     stream, its readers
-- ARGV     group
-- Answers  1, whether it was there before or not

local made = redis.pcall('XGROUP', 'CREATE', KEYS[1], ARGV[1], '0', 'MKSTREAM')
if made.err and not string.find(made.err, 'BUSYGROUP', 1, true) then return made end
redis.call('HSET', KEYS[2], 'silent:' .. ARGV[1], 0)
return 1
