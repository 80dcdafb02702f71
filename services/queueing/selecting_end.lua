-- A job has all that it takes from a set or from contacts, or takes nobody else, and `why` says so then.
--
-- KEYS     job, seen, selecting, finishing, pages, target, targets
-- ARGV     why nobody else ('': it has all), that in words
-- Answers  1, or 0 if that had come already

local name = string.match(KEYS[1], '[^:]+$')
redis.call('ZREM', KEYS[3], name)
redis.call('ZREM', KEYS[7], name)
local job = redis.call('HMGET', KEYS[1], JOB.state, JOB.total, JOB.queued)
if job[1] ~= 'selecting' then return 0 end
redis.call('UNLINK', KEYS[2], KEYS[5], KEYS[6])
redis.call('HDEL', KEYS[1], JOB.awaited)
if ARGV[1] ~= '' then redis.call('HSET', KEYS[1], JOB.unselected, ARGV[1]) end
if ARGV[2] ~= '' then redis.call('HSET', KEYS[1], JOB.unselected_detail, ARGV[2]) end
local state = tonumber(job[3]) >= tonumber(job[2]) and 'queued' or 'queueing'
redis.call('HSET', KEYS[1], JOB.state, state)
if state == 'queued' then redis.call('ZINCRBY', KEYS[4], 1, name) end
return 1
