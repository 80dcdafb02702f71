-- Begins to remove a job that has ended: from now on nobody finds it, and no fact changes what is left of it.
--
-- KEYS     ended_jobs, removals, job, jobs, the tenant's jobs
-- ARGV     job, before when (ms) it has ended, now, retention ms, messages of a timeline
-- Answers  how many timelines it may have; -1 if it is not to be removed: another has done so, or its own time is not
--          over (it waits for that)

local at = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not at or tonumber(at) > tonumber(ARGV[2]) then return -1 end
local job = redis.call('HMGET', KEYS[3], JOB.expires_at, JOB.total)
local expires_at = tonumber(job[1] or 0)
if expires_at > tonumber(ARGV[3]) then
  redis.call('ZADD', KEYS[1], 'XX', expires_at - ARGV[4], ARGV[1])
  return -1
end
local timelines = math.ceil(tonumber(job[2] or 0) / ARGV[5])
redis.call('HSET', KEYS[2], ARGV[1], timelines)
redis.call('UNLINK', KEYS[3])
for at = 4, 5 do redis.call('ZREM', KEYS[at], ARGV[1]) end
redis.call('ZREM', KEYS[1], ARGV[1])
return timelines
