-- Writes down how far a drop is, if it still is where the process thinks, and the process is the one that writes.
--
-- KEYS     lease, drops of the tenant, state of the drop
-- ARGV     the process, the drop, a field of the state and what it must be, then fields and values
-- Answers  1 if that was written, else 0

if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if redis.call('HEXISTS', KEYS[2], ARGV[2]) == 0 then return 0 end
if redis.call('HGET', KEYS[3], ARGV[3]) ~= ARGV[4] then return 0 end
redis.call('HSET', KEYS[3], unpack(ARGV, 5))
return 1
