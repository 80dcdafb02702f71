-- Counts one more domain before its keys are made, unless that is one too many: two requests at once are both counted.
--
-- KEYS     the domains that count for a tenant
-- ARGV     one more, now, until when it counts unless it becomes the tenant's, the most there may be ('': any number)
-- Answers  -1, or how many there are where it would be one too many

redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. ARGV[2])
if redis.call('ZSCORE', KEYS[1], ARGV[1]) then return -1 end
local used = redis.call('ZCARD', KEYS[1])
if ARGV[4] ~= '' and used >= tonumber(ARGV[4]) then return used end
redis.call('ZADD', KEYS[1], ARGV[3], ARGV[1])
return -1
