-- Takes, or holds on, what one process alone may do.
--
-- KEYS     the string that names the process
-- ARGV     name of the process, for how long (ms)
-- Answers  1 if it is this process, else 0

local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
