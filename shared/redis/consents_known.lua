-- What is known of an address, at one moment.
--
-- KEYS     the map of states, the log
-- ARGV     address
-- Answers  its state, or nil; and its log

return {addressed_get(KEYS[1], ARGV[1]), redis.call('LRANGE', KEYS[2], 0, -1)}
