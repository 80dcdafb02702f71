-- Removes a template with its versions, if its head is what it was when this was decided. Numbers go on behind its own.
--
-- KEYS     templates, template, use
-- ARGV     name, its head, how many bytes are kept less, the number of its newest version
-- Answers  1 if it was removed, 0 if another head is there

if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('UNLINK', KEYS[2])
redis.call('HINCRBY', KEYS[3], 'templates', -tonumber(ARGV[3]))
local last = tonumber(redis.call('HGET', KEYS[1], '(last)') or 0)
if tonumber(ARGV[4]) > last then redis.call('HSET', KEYS[1], '(last)', ARGV[4]) end
return 1
