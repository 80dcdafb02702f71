-- Lets an endpoint be asked again that was disabled, or rests.
--
-- KEYS     state and queue of the endpoint, and the zset of what is due in its partition
-- ARGV     the endpoint, now (ms)
-- Answers  1 if something waits for it, else 0

redis.call('HDEL', KEYS[1], 'disabled_at', 'why', 'failing_since', 'failures', 'rests_until')
if redis.call('XLEN', KEYS[2]) == 0 then return 0 end
redis.call('ZADD', KEYS[3], ARGV[2], ARGV[1])
return 1
