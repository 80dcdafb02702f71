-- Asks for a drop to be written now.
--
-- KEYS     drops of the tenant, versions of the drops of all tenants, state of the drop
-- ARGV     the drop, the tenant, another version, a moment of the period that is to be written anyway (ms, -1 for none)
-- Answers  1, or 0 if there is no such drop

if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then return 0 end
redis.call('HSET', KEYS[3], 'retry_at', 0, 'again', ARGV[4])
redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
return 1
