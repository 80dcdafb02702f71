-- Whether every message of a job has its end, or the job is not kept any more.
--
-- KEYS     job, its ended messages
-- ARGV     none
-- Answers  1 or 0

local job = redis.call('HMGET', KEYS[1], JOB.state, JOB.total)
if not job[1] then return 1 end
if job[1] ~= 'queued' then return 0 end
return redis.call('BITCOUNT', KEYS[2]) >= tonumber(job[2]) and 1 or 0
