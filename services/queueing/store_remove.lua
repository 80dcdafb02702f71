-- Removes an open job that nobody has started in time, with all that it has.
--
-- KEYS     job, recipients, chunks, seen, use, open_jobs, jobs, the tenant's jobs, files of its recipients, their uses
-- ARGV     now, bytes that a job costs
-- Answers  1, or 0 if it is not to be removed

local name = string.match(KEYS[1], '[^:]+$')
local at = redis.call('ZSCORE', KEYS[6], name)
if not at or tonumber(at) > tonumber(ARGV[1]) then return 0 end
redis.call('ZREM', KEYS[6], name)
local job = redis.call('HMGET', KEYS[1], JOB.state, JOB.held, JOB.file_bytes)
if job[1] ~= 'open' then return 0 end
redis.call('HINCRBY', KEYS[5], 'open_jobs', -1)
local content = redis.call('HSTRLEN', KEYS[1], JOB.content) + redis.call('HSTRLEN', KEYS[1], JOB.source)
redis.call('HINCRBY', KEYS[5], 'bytes', -(content + ARGV[2] + (job[2] or 0) + (job[3] or 0)))
redis.call('UNLINK', KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[9], KEYS[10])
for at = 7, 8 do redis.call('ZREM', KEYS[at], name) end
return 1
