-- A day of statistics is in the archive as it was: it goes when its time is over.
--
-- KEYS     marks of days, the day's statistics
-- ARGV     the day's field in the marks, its mark as it was read, until when (ms) it is kept
-- Answers  1, or 0 if it has changed since

if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('PEXPIREAT', KEYS[2], ARGV[3])
return 1
