-- Stores a drop, new or changed.
--
-- KEYS     drops of the tenant, versions of the drops of all tenants, state of the drop
-- ARGV     the drop, its record, the tenant, another version, where its first period begins (ms), how many drops the
--          tenant may have, '1' if what was whole beside its place is at another place from now on
-- Answers  1 if it is new, 0 if it was changed, -1 if there are too many

local is_new = redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0
if is_new and redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[6]) then return -1 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('HSET', KEYS[2], ARGV[3], ARGV[4])
if is_new then redis.call('DEL', KEYS[3]) end
redis.call('HSETNX', KEYS[3], 'next', ARGV[5])
redis.call('HSET', KEYS[3], 'retry_at', 0)
if ARGV[7] == '1' then redis.call('HDEL', KEYS[3], 'placing') end
return is_new and 1 or 0
