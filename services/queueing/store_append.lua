-- Appends recipients to an open job, those that it has not seen, as one more chunk.
--
-- A chunk is written as `recipients.Chunk` is: [uint32 first ordinal, false, bin32 of an array16 of recipients].
--
-- KEYS     job, recipients, chunks, seen, use, open_jobs
-- ARGV     tenant, lifetime of seen, when the job is removed if it stays open, then digest and packed Waiting of each
--          recipient
-- Answers  'appended' and how many were new; 'unknown'; 'not_open' and the state

local job = redis.call('HMGET', KEYS[1], JOB.tenant, JOB.state, JOB.total)
if job[1] ~= ARGV[1] then return {'unknown'} end
if job[2] ~= 'open' then return {'not_open', job[2]} end
local fresh = {}
for i = 4, #ARGV, 2 do
  if redis.call('SADD', KEYS[4], ARGV[i]) == 1 then fresh[#fresh + 1] = ARGV[i + 1] end
end
if #fresh > 0 then
  local first = tonumber(job[3])
  local body = '\220' .. struct.pack('>I2', #fresh) .. table.concat(fresh)
  local chunk = '\147\206' .. struct.pack('>I4', first) .. '\194\198' .. struct.pack('>I4', #body) .. body
  redis.call('ZADD', KEYS[2], first, chunk)
  redis.call('RPUSH', KEYS[3], first)
  redis.call('HINCRBY', KEYS[1], JOB.held, #chunk)
  redis.call('HINCRBY', KEYS[5], 'bytes', #chunk)
  redis.call('HINCRBY', KEYS[1], JOB.total, #fresh)
end
redis.call('PEXPIRE', KEYS[4], ARGV[2])
redis.call('ZADD', KEYS[6], 'XX', ARGV[3], string.match(KEYS[1], '[^:]+$'))
return {'appended', #fresh}
