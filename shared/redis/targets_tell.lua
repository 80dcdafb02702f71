-- Notes of a job what is known of its contacts: which ones they are, for whom it waits, or why nobody else comes.
--
-- KEYS     job, target, targets
-- ARGV     now (ms), until when others leave the job alone, lifetime (ms), which contacts ('': nothing new), whom it
--          waits for ('': nobody), why nobody else comes ('': more may), that in words
-- Answers  1, or 0 if it takes nobody any more

local name = string.match(KEYS[1], '[^:]+$')
if redis.call('HGET', KEYS[1], JOB.state) ~= 'selecting' or redis.call('HEXISTS', KEYS[2], 'done') == 1 then
  redis.call('ZREM', KEYS[3], name)
  return 0
end
redis.call('HSET', KEYS[2], 'heard', ARGV[1])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
if ARGV[4] ~= '' then redis.call('HSET', KEYS[1], JOB.segment, ARGV[4]) end
if ARGV[5] == '' then
  redis.call('HDEL', KEYS[1], JOB.awaited)
else
  redis.call('HSET', KEYS[1], JOB.awaited, ARGV[5])
end
if ARGV[6] == '' then
  redis.call('ZADD', KEYS[3], ARGV[2], name)
else
  redis.call('HSET', KEYS[2], 'done', ARGV[6], 'detail', ARGV[7])
  redis.call('ZREM', KEYS[3], name)
end
return 1
