-- Remembers a number of a day if none was greater.
--
-- KEYS     usage
-- ARGV     field, number, until when (ms) it is kept
-- Answers  nothing

if tonumber(ARGV[2]) > tonumber(redis.call('HGET', KEYS[1], ARGV[1]) or 0) then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
  redis.call('PEXPIREAT', KEYS[1], ARGV[3])
end
