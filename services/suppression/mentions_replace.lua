-- Puts a chunk of recipients in the place of what it was made from, if that is still there. A file that nobody else of
-- the job gets goes with who is not in it any more.
--
-- KEYS     recipients of a job, their files, the files' uses
-- ARGV     first ordinal, the chunk as it was read, as it is to be, then the digest of each file that somebody had who
--          goes
-- Answers  1, or 0 if it is another meanwhile

if not redis.call('ZSCORE', KEYS[1], ARGV[2]) then return 0 end
redis.call('ZREM', KEYS[1], ARGV[2])
redis.call('ZADD', KEYS[1], ARGV[1], ARGV[3])
for i = 4, #ARGV do
  if redis.call('HEXISTS', KEYS[3], ARGV[i]) == 1 and redis.call('HINCRBY', KEYS[3], ARGV[i], -1) <= 0 then
    redis.call('HDEL', KEYS[2], ARGV[i])
    redis.call('HDEL', KEYS[3], ARGV[i])
  end
end
return 1
