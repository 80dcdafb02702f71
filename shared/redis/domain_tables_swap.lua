-- Changes fields of hashes if all of them are as they were read: all or nothing.
--
-- KEYS     hashes
-- ARGV     for each of them: a field, the value expected ('' for none), the new value ('' removes)
-- Answers  1, or 0 if something had changed

for at, key in ipairs(KEYS) do
  if (redis.call('HGET', key, ARGV[3 * at - 2]) or '') ~= ARGV[3 * at - 1] then return 0 end
end
for at, key in ipairs(KEYS) do
  local field, value = ARGV[3 * at - 2], ARGV[3 * at]
  if value == '' then redis.call('HDEL', key, field) else redis.call('HSET', key, field, value) end
end
return 1
