-- Gives a job the next page of contacts that was handed over; while there is none, sees to it that contacts know of it.
--
-- KEYS     job, recipients, use, intake, intake_use, selecting, pages, target, targets
-- ARGV     tenant, until when others leave the job alone, most entries of intake, most of them of the tenant, head of
--          an Intake, version, now (ms), after how long nothing was heard the job waits for contacts (ms), lifetime
--          (ms)
-- Answers  'appended' and how many; 'full' (too much waits to be queued); 'empty' (none was handed over yet); 'done',
--          why nobody else comes ('': it has all) and that in words; 'ended' (it takes nobody any more)

local job = redis.call('HMGET', KEYS[1], JOB.state, JOB.total)
if job[1] ~= 'selecting' then return {'ended'} end
local name = string.match(KEYS[1], '[^:]+$')
redis.call('ZADD', KEYS[6], 'XX', ARGV[2], name)
if is_full(KEYS[4], KEYS[5], ARGV[1], ARGV[3], ARGV[4]) then return {'full'} end
local page = redis.call('LPOP', KEYS[7])
if page then
  local count = struct.unpack('>I2', string.sub(page, 2, 3))
  add(KEYS, ARGV[1], ARGV[5], ARGV[6], tonumber(job[2]), string.sub(page, 4), count)
  return {'appended', count}
end
local told = redis.call('HMGET', KEYS[8], 'done', 'detail', 'heard', 'asked')
if told[1] then return {'done', told[1], told[2] or ''} end
if not told[4] then
  redis.call('HSET', KEYS[8], 'asked', ARGV[7])
  redis.call('PEXPIRE', KEYS[8], ARGV[9])
end
if not redis.call('ZSCORE', KEYS[9], name) then redis.call('ZADD', KEYS[9], 0, name) end
if tonumber(ARGV[7]) - math.max(tonumber(told[3] or 0), tonumber(told[4] or ARGV[7])) > tonumber(ARGV[8]) then
  redis.call('HSET', KEYS[1], JOB.awaited, 'contacts')
end
return {'empty'}
