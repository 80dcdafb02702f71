-- Takes an endpoint for a process that alone sends to it, or puts off the next look until its holder should be gone.
--
-- KEYS     lease, state and deliveries aside of the endpoint, and the zset of what is due in its partition
-- ARGV     the endpoint, name of the process, lease (ms), now (ms)
-- Answers  the state and what is aside, as flat lists; nothing if another process has it

if not redis.call('SET', KEYS[1], ARGV[2], 'NX', 'PX', ARGV[3]) then
  redis.call('ZADD', KEYS[4], ARGV[4] + math.max(100, redis.call('PTTL', KEYS[1])), ARGV[1])
  return false
end
redis.call('ZADD', KEYS[4], ARGV[4] + ARGV[3], ARGV[1])
return {redis.call('HGETALL', KEYS[2]), redis.call('HGETALL', KEYS[3])}
