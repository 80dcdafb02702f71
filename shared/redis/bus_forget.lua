-- Registers the group as one that reads, and forgets its consumers that are gone. In one step, so that nobody is
-- forgotten who has just read.
--
-- KEYS     stream, its readers
-- ARGV     group, the consumer that asks, ms for which the others have read nothing
-- Answers  how many were forgotten

redis.call('HSET', KEYS[2], 'silent:' .. ARGV[1], 0)
local forgotten = 0
for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  local fields = {}
  for i = 1, #consumer, 2 do fields[consumer[i]] = consumer[i + 1] end
  if fields.pending == 0 and fields.idle > tonumber(ARGV[3]) and fields.name ~= ARGV[2] then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], fields.name)
    forgotten = forgotten + 1
  end
end
return forgotten
