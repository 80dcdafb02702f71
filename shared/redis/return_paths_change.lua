-- Gives mail From a domain another return path, or none of its own. The former one is kept for mail that is on its way.
--
-- KEYS     hash of return paths
-- ARGV     tenant/domain, the new return path or '', until when (ms) mail to the former one is taken
-- Answers  nothing

local before = redis.call('HGET', KEYS[1], ARGV[1])
if before == ARGV[2] or (not before and ARGV[2] == '') then return end
if before then redis.call('HSET', KEYS[1], before .. '@' .. ARGV[3], before) end
if ARGV[2] == '' then
  redis.call('HDEL', KEYS[1], ARGV[1])
else
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
end
redis.call('HINCRBY', KEYS[1], 'version', 1)
