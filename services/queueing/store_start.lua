-- Starts an open or scheduled job, now or later: each of its chunks becomes an entry of intake. A job without an expiry
-- of its own gets it here. One whose recipients are those of a set has none yet: they are taken from now on.
--
-- KEYS     job, chunks, intake, schedule, seen, use, intake_use, open_jobs, selecting,
--          finishing
-- ARGV     most entries of intake, head of an Intake, version, time to start at ('': now), now, tenant, hour, the share
--          of intake that is anybody's, bytes that a job costs
-- Answers  the new state; 'not_open' and the state; 'empty' of an open one without recipients; 'full'

local job = redis.call('HMGET', KEYS[1], JOB.state, JOB.total)
if job[1] ~= 'open' and job[1] ~= 'scheduled' then return {'not_open', job[1]} end
if job[1] == 'open' and tonumber(job[2]) == 0 then return {'empty'} end
if ARGV[4] == '' and redis.call('XLEN', KEYS[3]) >= tonumber(ARGV[1])
  and tonumber(redis.call('HGET', KEYS[7], ARGV[6]) or 0) >= tonumber(ARGV[8]) then return {'full'} end
redis.call('UNLINK', KEYS[5])
local begins = tonumber(ARGV[4] == '' and ARGV[5] or ARGV[4])
local expiry = redis.call('HMGET', KEYS[1], JOB.expires_at, JOB.max_age_ms)
if expiry[1] == '0' then redis.call('HSET', KEYS[1], JOB.expires_at, begins + tonumber(expiry[2])) end
local name = string.match(KEYS[1], '[^:]+$')
if redis.call('ZREM', KEYS[8], name) == 1 then
  local content = redis.call('HSTRLEN', KEYS[1], JOB.content) + redis.call('HSTRLEN', KEYS[1], JOB.source) + ARGV[9]
  content = content + (redis.call('HGET', KEYS[1], JOB.file_bytes) or 0)
  redis.call('HINCRBY', KEYS[6], 'open_jobs', -1)
  redis.call('HINCRBY', KEYS[6], 'bytes', -content)
  redis.call('HINCRBY', KEYS[6], 'content:' .. ARGV[7], content)
end
if ARGV[4] ~= '' then
  redis.call('HSET', KEYS[1], JOB.state, 'scheduled', JOB.send_at, ARGV[4])
  redis.call('ZADD', KEYS[4], ARGV[4], name)
  return {'scheduled'}
end
-- From here on it is what it is: what it was made from is needed no more.
redis.call('HDEL', KEYS[1], JOB.source)
redis.call('HSET', KEYS[1], JOB.started_at, ARGV[5])
if redis.call('HEXISTS', KEYS[1], JOB.selection) == 1 then
  redis.call('HSET', KEYS[1], JOB.state, 'selecting')
  redis.call('ZREM', KEYS[4], name)
  redis.call('ZADD', KEYS[9], 0, name)
  return {'selecting'}
end
local chunks = redis.call('LRANGE', KEYS[2], 0, -1)
if #chunks > 0 then redis.call('HINCRBY', KEYS[7], ARGV[6], #chunks) end
for _, first in ipairs(chunks) do
  redis.call('XADD', KEYS[3], '*', 't', 'Intake', 'v', ARGV[3],
    'b', ARGV[2] .. '\206' .. struct.pack('>I4', tonumber(first)))
end
redis.call('DEL', KEYS[2])
redis.call('ZREM', KEYS[4], name)
local state = tonumber(job[2]) > 0 and 'queueing' or 'queued'
redis.call('HSET', KEYS[1], JOB.state, state)
if state == 'queued' then redis.call('ZINCRBY', KEYS[10], 1, name) end
return {state}
