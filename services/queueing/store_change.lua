-- Changes an open or scheduled job, whole or not at all, if it is what it was when it was read. What it takes more, or
-- less, counts: of an open job as long as it is there, of others for the time that contents count.
--
-- KEYS     job, schedule, use
-- ARGV     the state that it had, how often it had been changed, now (ms), when it starts ('': as it was), hour,
--          number of fields, the fields, then the names of those that it has no more
-- Answers  'changed'; 'again': it was changed meanwhile; or the state of one that is not changed any more

local job = redis.call('HMGET', KEYS[1], JOB.state, JOB.changes)
if job[1] ~= 'open' and job[1] ~= 'scheduled' then return job[1] or '' end
if job[1] ~= ARGV[1] or (job[2] or '0') ~= ARGV[2] then return 'again' end
local function size()
  return redis.call('HSTRLEN', KEYS[1], JOB.content) + redis.call('HSTRLEN', KEYS[1], JOB.source)
end
local before, last = size(), 6 + 2 * ARGV[6]
redis.call('HSET', KEYS[1], unpack(ARGV, 7, last))
for i = last + 1, #ARGV do redis.call('HDEL', KEYS[1], ARGV[i]) end
redis.call('HINCRBY', KEYS[1], JOB.changes, 1)
redis.call('HSET', KEYS[1], JOB.changed_at, ARGV[3])
local more = size() - before
if job[1] == 'open' then
  redis.call('HINCRBY', KEYS[3], 'bytes', more)
elseif more > 0 then
  redis.call('HINCRBY', KEYS[3], 'content:' .. ARGV[5], more)
end
if ARGV[4] ~= '' then redis.call('ZADD', KEYS[2], 'XX', ARGV[4], string.match(KEYS[1], '[^:]+$')) end
return 'changed'
