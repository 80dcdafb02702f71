-- Sorts jobs by whether they have ended: whether they are queued whole, and each message has its end.
--
-- KEYS     unended_jobs, ended_jobs, then of each job its hash and its ended messages
-- ARGV     now (ms), when those that have not are looked at again, then each job
-- Answers  how many have ended

local ended = 0
for i = 3, #ARGV do
  local name, place = ARGV[i], i * 2 - 3
  local job = redis.call('HMGET', KEYS[place], JOB.state, JOB.total)
  if not job[1] then
    redis.call('ZREM', KEYS[1], name)
  elseif job[1] == 'queued' and redis.call('BITCOUNT', KEYS[place + 1]) >= tonumber(job[2]) then
    redis.call('ZADD', KEYS[2], 'NX', ARGV[1], name)
    redis.call('ZREM', KEYS[1], name)
    ended = ended + 1
  else
    redis.call('ZADD', KEYS[1], ARGV[2], name)
  end
end
return ended
