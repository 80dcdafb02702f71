-- Puts parked messages of a job back into their ready queues.
--
-- ARGV     job, limit
-- Answers  how many went back

local job = ARGV[4]
local values = redis.call('ZRANGE', parked .. job, 0, ARGV[5] - 1)
for _, value in ipairs(values) do put(split(value)) end
redis.call('ZREMRANGEBYRANK', parked .. job, 0, #values - 1)
index_parked(job)
if settle() or alone_came then wake_relays() end
return #values
