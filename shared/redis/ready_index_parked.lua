-- Begins, after `ready_common`, the scripts that change what is parked: notes when the next message of a job is over,
-- so that nobody looks at jobs of which nothing is.

local function index_parked(job)
  local first = redis.call('ZRANGE', parked .. job, 0, 0, 'WITHSCORES')[2]
  if first then redis.call('ZADD', parked_jobs, first, job) else redis.call('ZREM', parked_jobs, job) end
end
