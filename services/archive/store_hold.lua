-- The lease of the process that writes: taken if it is nobody's, held on to by its owner.
--
-- KEYS     archive_lease
-- ARGV     the process, ms
-- Answers  1 if it is theirs now

local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
