-- Takes an address off the list, and tells of it if it was on it.
--
-- KEYS     events, list, index
-- ARGV     address, version of the event, the event
-- Answers  1 if it was on the list, else 0

if redis.call('HDEL', KEYS[2], ARGV[1]) == 0 then return 0 end
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('XADD', KEYS[1], '*', 't', 'Reactivated', 'v', ARGV[2], 'b', ARGV[3])
return 1
