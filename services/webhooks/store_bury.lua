-- What is left of an endpoint that was removed: nothing is queued for it, and soon nothing is left at all.
--
-- KEYS     state of the endpoint
-- ARGV     now (ms), how long that is kept (ms)
-- Answers  1

redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'disabled_at', ARGV[1], 'why', 'removed')
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
