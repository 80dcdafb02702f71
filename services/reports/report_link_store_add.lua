-- Adds a link to a job's report, unless there are as many already; those that are over go.
--
-- KEYS     report_links
-- ARGV     now, the link (packed), when it is over, how many there may be
-- Answers  1 if it was added, else 0

redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[1])
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[4]) then return 0 end
redis.call('ZADD', KEYS[1], ARGV[3], ARGV[2])
local last = redis.call('ZREVRANGE', KEYS[1], 0, 0, 'WITHSCORES')
redis.call('PEXPIREAT', KEYS[1], last[2])
return 1
