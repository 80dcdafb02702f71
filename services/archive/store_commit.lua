-- The batch is in durable files: the group goes on behind it.
--
-- KEYS     archive, events, dead
-- ARGV     group, after which entry the batch began, its last entry, then of each entry that nobody could read:
--          t, v, b, reason, origin
-- Answers  1, or 0 if it was said before

local known = redis.call('HMGET', KEYS[1], 'position', 'plan')
if (known[1] or '0-0') ~= ARGV[2] or known[2] ~= ARGV[3] then return 0 end
redis.call('XGROUP', 'SETID', KEYS[2], ARGV[1], ARGV[3])
for at = 4, #ARGV, 5 do
  redis.call('XADD', KEYS[3], '*', 't', ARGV[at], 'v', ARGV[at + 1], 'b', ARGV[at + 2],
    'reason', ARGV[at + 3], 'origin', ARGV[at + 4])
end
redis.call('HSET', KEYS[1], 'position', ARGV[3])
redis.call('HDEL', KEYS[1], 'plan')
return 1
