-- Adds a batch of calls to the usage of their tenants, once: a batch that may have been added is sent again under the
-- same number.
--
-- KEYS     the last batch of this process that was added, then the usage of each
-- ARGV     number of the batch, how long (ms) it is remembered, then of each field, number, and until when (ms) it is
--          kept
-- Answers  1, or 0 if it was added before

if tonumber(redis.call('GET', KEYS[1]) or 0) >= tonumber(ARGV[1]) then return 0 end
for i = 2, #KEYS do
  local at = i * 3 - 3
  redis.call('HINCRBY', KEYS[i], ARGV[at], ARGV[at + 1])
  redis.call('PEXPIREAT', KEYS[i], ARGV[at + 2])
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
