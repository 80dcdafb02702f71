-- Tells that a job has ended, once for ever, and looks at it no more, unless something has happened meanwhile. Nobody
-- needs the files of its recipients any more.
--
-- KEYS     job, its counts, events, finishing, files of its recipients, their uses
-- ARGV     the job, how often something had happened when it was looked at, version, the fact ('': it has not ended)
-- Answers  1 if it was told now, else 0

local told = 0
if ARGV[4] ~= '' and redis.call('EXISTS', KEYS[1]) == 1 and redis.call('HSETNX', KEYS[2], 'finished', 1) == 1 then
  redis.call('XADD', KEYS[3], '*', 't', 'Finished', 'v', ARGV[3], 'b', ARGV[4])
  redis.call('UNLINK', KEYS[5], KEYS[6])
  told = 1
end
local happened = redis.call('ZSCORE', KEYS[4], ARGV[1])
if happened and tonumber(happened) <= tonumber(ARGV[2]) then redis.call('ZREM', KEYS[4], ARGV[1]) end
return told
