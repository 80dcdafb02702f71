-- Puts a chunk of recipients in the place of what it was made from, if that is still there.
--
-- KEYS     recipients of a job
-- ARGV     first ordinal, the chunk as it was read, as it is to be
-- Answers  1, or 0 if it is another meanwhile

if not redis.call('ZSCORE', KEYS[1], ARGV[2]) then return 0 end
redis.call('ZREM', KEYS[1], ARGV[2])
redis.call('ZADD', KEYS[1], ARGV[1], ARGV[3])
return 1
