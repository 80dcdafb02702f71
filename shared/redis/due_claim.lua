-- Takes up a job of those that wait for somebody, if one is due: others leave it alone for a while.
--
-- KEYS     those that wait, by when somebody may take them up
-- ARGV     now (ms), until when it is left alone
-- Answers  the job, or false

local name = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, 1)[1]
if name then redis.call('ZADD', KEYS[1], ARGV[2], name) end
return name or false
