-- Gives recipients to a job that takes them from a set, those that it has not.
--
-- KEYS     job, recipients, use, intake, intake_use, selecting, seen
-- ARGV     tenant, lifetime of seen (ms), until when others leave the job alone, most entries of intake, most of
--          them of the tenant, head of an Intake, version, then digest and packed Waiting of each recipient
-- Answers  'appended' and how many were new; 'full' (too much waits to be queued); 'ended' (it takes nobody any more)

local job = redis.call('HMGET', KEYS[1], JOB.state, JOB.total)
if job[1] ~= 'selecting' then return {'ended'} end
redis.call('ZADD', KEYS[6], 'XX', ARGV[3], string.match(KEYS[1], '[^:]+$'))
if is_full(KEYS[4], KEYS[5], ARGV[1], ARGV[4], ARGV[5]) then return {'full'} end
local fresh = {}
for i = 8, #ARGV, 2 do
  if redis.call('SADD', KEYS[7], ARGV[i]) == 1 then fresh[#fresh + 1] = ARGV[i + 1] end
end
redis.call('PEXPIRE', KEYS[7], ARGV[2])
if #fresh > 0 then add(KEYS, ARGV[1], ARGV[6], ARGV[7], tonumber(job[2]), table.concat(fresh), #fresh) end
return {'appended', #fresh}
