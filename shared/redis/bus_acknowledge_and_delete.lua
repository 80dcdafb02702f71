-- In one step, so that no entry stays that nobody will read.
--
-- KEYS     stream
-- ARGV     group, stream ids
-- Answers  how many were in the group's hand

local handled = redis.call('XACK', KEYS[1], unpack(ARGV))
redis.call('XDEL', KEYS[1], unpack(ARGV, 2))
return handled
