-- Takes away a rule of a tenant. The version stays for ever: without one, readers would think that there never was a
-- rule.
--
-- KEYS     rules of the tenant, versions
-- ARGV     tenant, version if there was one, pattern
-- Answers  1 if there was one

if redis.call('HDEL', KEYS[1], ARGV[3]) == 0 then return 0 end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
return 1
