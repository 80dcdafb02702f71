-- Hands contacts over to a job, in the order of their numbers, those behind the last one that was handed over.
--
-- KEYS     job, target, pages, targets
-- ARGV     now (ms), until when others leave the job alone, most pages that wait, lifetime (ms), the number behind
--          which these come, their last number, '1': nobody comes behind them, how many they are, pages
-- Answers  'handed'; 'full' (too many wait to be taken); 'moved' (another one handed them over); 'ended' (it takes
--          nobody any more)

local name = string.match(KEYS[1], '[^:]+$')
if redis.call('HGET', KEYS[1], JOB.state) ~= 'selecting' or redis.call('HEXISTS', KEYS[2], 'done') == 1 then
  redis.call('ZREM', KEYS[4], name)
  return 'ended'
end
redis.call('ZADD', KEYS[4], ARGV[2], name)
redis.call('HSET', KEYS[2], 'heard', ARGV[1])
redis.call('PEXPIRE', KEYS[2], ARGV[4])
if (redis.call('HGET', KEYS[2], 'position') or '0') ~= ARGV[5] then return 'moved' end
if redis.call('LLEN', KEYS[3]) >= tonumber(ARGV[3]) then return 'full' end
for i = 9, #ARGV do redis.call('RPUSH', KEYS[3], ARGV[i]) end
redis.call('PEXPIRE', KEYS[3], ARGV[4])
redis.call('HSET', KEYS[2], 'position', ARGV[6])
redis.call('HINCRBY', KEYS[2], 'handed', ARGV[8])
redis.call('HDEL', KEYS[1], JOB.awaited)
if ARGV[7] == '1' then
  redis.call('HSET', KEYS[2], 'done', '')
  redis.call('ZREM', KEYS[4], name)
end
return 'handed'
