-- Removes a part of what is left of a job, and notes how far that is.
--
-- KEYS     removals, then what goes
-- ARGV     job, how many of its timelines are left then; -1: nothing is left at all
-- Answers  1, or 0 if another process has ended the removal

if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then return 0 end
if #KEYS > 1 then redis.call('UNLINK', unpack(KEYS, 2)) end
if ARGV[2] == '-1' then
  redis.call('HDEL', KEYS[1], ARGV[1])
else
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
end
return 1
