-- Gives an endpoint back, and says when somebody is to look after it again.
--
-- KEYS     lease, queue and state of the endpoint, and the zset of what is due in its partition
-- ARGV     the endpoint, name of the process, now (ms), when what is in hand is due (ms; -1: nothing is), the last
--          entry that was read ("": it is not to be read on)
-- Answers  1, or 0 if another process has it by now

if redis.call('GET', KEYS[1]) ~= ARGV[2] then return 0 end
local due = tonumber(ARGV[4])
if ARGV[5] ~= '' and #redis.call('XRANGE', KEYS[2], '(' .. ARGV[5], '+', 'COUNT', 1) > 0 then
  due = tonumber(ARGV[3])
end
if due >= 0 then redis.call('ZADD', KEYS[4], due, ARGV[1]) else redis.call('ZREM', KEYS[4], ARGV[1]) end
redis.call('DEL', KEYS[1])
return 1
