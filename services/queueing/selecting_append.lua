-- Gives recipients to a job that takes them from a set, those that it has not, as one more chunk that waits.
--
-- A chunk is written as `recipients.Chunk` is: [uint32 first ordinal, false, bin32 of an array16 of recipients].
--
-- KEYS     job, recipients, seen, use, intake, intake_use, selecting
-- ARGV     tenant, lifetime of seen (ms), until when others leave the job alone, most entries of intake, most of
--          them of the tenant, head of an Intake, version, then digest and packed Waiting of each recipient
-- Answers  'appended' and how many were new; 'full' (too much waits to be queued); 'ended' (it takes nobody any more)

local job = redis.call('HMGET', KEYS[1], JOB.state, JOB.total)
if job[1] ~= 'selecting' then return {'ended'} end
redis.call('ZADD', KEYS[7], 'XX', ARGV[3], string.match(KEYS[1], '[^:]+$'))
if redis.call('XLEN', KEYS[5]) >= tonumber(ARGV[4])
  or tonumber(redis.call('HGET', KEYS[6], ARGV[1]) or 0) >= tonumber(ARGV[5]) then return {'full'} end
local fresh = {}
for i = 8, #ARGV, 2 do
  if redis.call('SADD', KEYS[3], ARGV[i]) == 1 then fresh[#fresh + 1] = ARGV[i + 1] end
end
redis.call('PEXPIRE', KEYS[3], ARGV[2])
if #fresh > 0 then
  local first = tonumber(job[2])
  local body = '\220' .. struct.pack('>I2', #fresh) .. table.concat(fresh)
  local chunk = '\147\206' .. struct.pack('>I4', first) .. '\194\198' .. struct.pack('>I4', #body) .. body
  redis.call('ZADD', KEYS[2], first, chunk)
  redis.call('XADD', KEYS[5], '*', 't', 'Intake', 'v', ARGV[7], 'b', ARGV[6] .. '\206' .. struct.pack('>I4', first))
  redis.call('HINCRBY', KEYS[6], ARGV[1], 1)
  redis.call('HINCRBY', KEYS[1], JOB.held, #chunk)
  redis.call('HINCRBY', KEYS[4], 'bytes', #chunk)
  redis.call('HINCRBY', KEYS[1], JOB.total, #fresh)
end
return {'appended', #fresh}
