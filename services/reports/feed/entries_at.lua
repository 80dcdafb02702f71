-- Entries by their ids: one round trip, where XRANGE would be one for each.
--
-- KEYS     events
-- ARGV     stream ids
-- Answers  for each id what XRANGE does

local found = {}
for i, id in ipairs(ARGV) do found[i] = redis.call('XRANGE', KEYS[1], id, id) end
return found
