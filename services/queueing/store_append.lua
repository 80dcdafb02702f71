-- Appends recipients to an open job, those that it has not seen, as one more chunk; with those of their files that it
-- has not.
--
-- A chunk is written as `recipients.Chunk` is: [uint32 first ordinal, false, bin32 of an array16 of recipients].
--
-- KEYS     job, recipients, chunks, seen, use, open_jobs, files of its recipients, their uses
-- ARGV     tenant, lifetime of seen, when the job is removed if it stays open, who of these has which file (uint32 of
--          the place, from 1, and 20 characters of digest, for each), number of files, then digest and bytes of each
--          file, then digest and packed Waiting of each recipient
-- Answers  'appended' and how many were new; 'unknown'; 'not_open' and the state

local job = redis.call('HMGET', KEYS[1], JOB.tenant, JOB.state, JOB.total)
if job[1] ~= ARGV[1] then return {'unknown'} end
if job[2] ~= 'open' then return {'not_open', job[2]} end
local fresh, is_fresh = {}, {}
local begin = 6 + 2 * ARGV[5]
for i = begin, #ARGV, 2 do
  if redis.call('SADD', KEYS[4], ARGV[i]) == 1 then
    fresh[#fresh + 1] = ARGV[i + 1]
    is_fresh[(i - begin) / 2 + 1] = true
  end
end
local content = {}
for i = 6, begin - 1, 2 do content[ARGV[i]] = ARGV[i + 1] end
local file_bytes = 0
for at = 1, #ARGV[4], 24 do
  local digest = string.sub(ARGV[4], at + 4, at + 23)
  if is_fresh[struct.unpack('>I4', ARGV[4], at)] then
    if redis.call('HSETNX', KEYS[7], digest, content[digest]) == 1 then file_bytes = file_bytes + #content[digest] end
    redis.call('HINCRBY', KEYS[8], digest, 1)
  end
end
if file_bytes > 0 then
  redis.call('HINCRBY', KEYS[1], JOB.file_bytes, file_bytes)
  redis.call('HINCRBY', KEYS[5], 'bytes', file_bytes)
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
