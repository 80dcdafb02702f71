-- Writes down that an import begins, unless there is one of its name, and lets the oldest of the tenant go.
--
-- KEYS     the import, the index of the tenant's imports
-- ARGV     its id, what is known of it, when it began in ms, its lifetime in ms, how many are kept, what the keys of
--          imports begin with, what those of reports begin with
-- Answers  1 it has begun, 0 there is one of that name

if not redis.call('SET', KEYS[1], ARGV[2], 'NX', 'PX', ARGV[4]) then return 0 end
redis.call('ZADD', KEYS[2], ARGV[3], ARGV[1])
redis.call('PEXPIRE', KEYS[2], ARGV[4])
for _, id in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1 - tonumber(ARGV[5]))) do
  redis.call('DEL', ARGV[6] .. id, ARGV[7] .. id)
  redis.call('ZREM', KEYS[2], id)
end
return 1
