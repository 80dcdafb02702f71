-- Ends a chunk that is queued: of its recipients only what late facts need stays, and its entry leaves intake. Where
-- mails can be shown in a browser, what they were made with stays too, and counts as content does.
--
-- KEYS     job, recipients, plan, intake, use, intake_use, finishing
-- ARGV     first ordinal, slim chunk, number of recipients, group, entry, tenant, the hour since 1970 in which
--          the job was made
-- Answers  1, or 0 if it was ended before

if redis.call('XACK', KEYS[4], ARGV[4], ARGV[5]) == 0 then return 0 end
redis.call('XDEL', KEYS[4], ARGV[5])
local chunk = redis.call('ZRANGEBYSCORE', KEYS[2], ARGV[1], ARGV[1])[1]
if chunk then
  local freed = math.min(#chunk, tonumber(redis.call('HGET', KEYS[1], JOB.held) or 0))
  redis.call('HINCRBY', KEYS[1], JOB.held, -freed)
  redis.call('HINCRBY', KEYS[5], 'bytes', -freed)
  if redis.call('HEXISTS', KEYS[1], JOB.viewable) == 1 then
    redis.call('HINCRBY', KEYS[5], 'content:' .. ARGV[7], #ARGV[2])
  end
end
if redis.call('HEXISTS', KEYS[6], ARGV[6]) == 1 and redis.call('HINCRBY', KEYS[6], ARGV[6], -1) <= 0 then
  redis.call('HDEL', KEYS[6], ARGV[6])
end
redis.call('ZREMRANGEBYSCORE', KEYS[2], ARGV[1], ARGV[1])
redis.call('ZADD', KEYS[2], ARGV[1], ARGV[2])
redis.call('DEL', KEYS[3])
local queued = redis.call('HINCRBY', KEYS[1], JOB.queued, ARGV[3])
local job = redis.call('HMGET', KEYS[1], JOB.total, JOB.state)
if queued >= tonumber(job[1]) and job[2] ~= 'selecting' then
  redis.call('HSET', KEYS[1], JOB.state, 'queued')
  redis.call('ZINCRBY', KEYS[7], 1, string.match(KEYS[1], '[^:]+$'))
end
return 1
