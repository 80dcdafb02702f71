-- Stores a job whole, with its chunks, or not at all; and counts what it takes. Under one idempotency key once.
--
-- KEYS     job, recipients, chunks, intake, schedule, idempotency, use, intake_use, open_jobs,
--          jobs, the tenant's jobs, selecting, files of its recipients, their uses
-- ARGV     digest of the request ('': no key), its answer, lifetime, most entries of intake, start (open, scheduled,
--          selecting or queueing), start time, head of an Intake, version, number of fields of the job, tenant, hour,
--          bytes of the content, when it is removed if it stays open, the share of intake that is anybody's,
--          number of files, the fields, then digest, bytes and uses of each file, then first ordinal and bytes of each
--          chunk
-- Answers  'stored'; 'repeated' or 'reused' and what was answered then (the key is known with the same or another
--          request); 'taken' (the id exists); 'full' (too much waits to be queued)

if ARGV[1] ~= '' then
  local known = redis.call('HMGET', KEYS[6], 'request', 'answer')
  if known[1] then return {known[1] == ARGV[1] and 'repeated' or 'reused', known[2]} end
end
if redis.call('EXISTS', KEYS[1]) == 1 then return {'taken'} end
if ARGV[5] ~= 'open' and redis.call('XLEN', KEYS[4]) >= tonumber(ARGV[4])
  and tonumber(redis.call('HGET', KEYS[8], ARGV[10]) or 0) >= tonumber(ARGV[14]) then return {'full'} end
local files = 16 + ARGV[9] * 2
redis.call('HSET', KEYS[1], unpack(ARGV, 16, files - 1))
local chunks, file_bytes = files + ARGV[15] * 3, 0
for i = files, chunks - 1, 3 do
  redis.call('HSET', KEYS[13], ARGV[i], ARGV[i + 1])
  redis.call('HSET', KEYS[14], ARGV[i], ARGV[i + 2])
  file_bytes = file_bytes + #ARGV[i + 1]
end
if file_bytes > 0 then redis.call('HSET', KEYS[1], JOB.file_bytes, file_bytes) end
local held = 0
for i = chunks, #ARGV, 2 do
  redis.call('ZADD', KEYS[2], ARGV[i], ARGV[i + 1])
  held = held + #ARGV[i + 1]
  if ARGV[5] == 'queueing' then
    redis.call('XADD', KEYS[4], '*', 't', 'Intake', 'v', ARGV[8],
      'b', ARGV[7] .. '\206' .. struct.pack('>I4', tonumber(ARGV[i])))
  else
    redis.call('RPUSH', KEYS[3], ARGV[i])
  end
end
redis.call('HSET', KEYS[1], JOB.state, ARGV[5], JOB.queued, 0, JOB.held, held)
for at = 10, 11 do redis.call('ZADD', KEYS[at], 0, string.match(KEYS[1], '[^:]+$')) end
if ARGV[5] == 'open' then
  redis.call('ZADD', KEYS[9], ARGV[13], string.match(KEYS[1], '[^:]+$'))
  redis.call('HINCRBY', KEYS[7], 'open_jobs', 1)
  redis.call('HINCRBY', KEYS[7], 'bytes', held + file_bytes + ARGV[12])
else
  redis.call('HINCRBY', KEYS[7], 'bytes', held)
  redis.call('HINCRBY', KEYS[7], 'content:' .. ARGV[11], file_bytes + ARGV[12])
end
if ARGV[5] == 'queueing' and #ARGV > chunks then
  redis.call('HINCRBY', KEYS[8], ARGV[10], (#ARGV - chunks + 1) / 2)
end
if ARGV[5] == 'selecting' then redis.call('ZADD', KEYS[12], 0, string.match(KEYS[1], '[^:]+$')) end
if ARGV[5] == 'scheduled' then
  redis.call('ZADD', KEYS[5], ARGV[6], string.match(KEYS[1], '[^:]+$'))
end
if ARGV[1] ~= '' then
  redis.call('HINCRBY', KEYS[7], 'keys:' .. ARGV[11], 1)
  redis.call('HSET', KEYS[6], 'request', ARGV[1], 'answer', ARGV[2])
  redis.call('PEXPIRE', KEYS[6], ARGV[3])
end
return {'stored'}
