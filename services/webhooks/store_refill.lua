-- Events that were given up into the queue again, some at a time.
--
-- KEYS     events given up, queue, lease of the endpoint, and the zset of what is due in its partition
-- ARGV     the endpoint, now (ms), how many at most, how many may wait
-- Answers  how many went, and how many are left

local room = math.max(0, tonumber(ARGV[4]) - redis.call('XLEN', KEYS[2]))
local found = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', math.min(tonumber(ARGV[3]), room + 1))
local moved = 0
for _, one in ipairs(found) do
  if moved < room then
    redis.call('XADD', KEYS[2], '*', unpack(one[2]))
    redis.call('XDEL', KEYS[1], one[1])
    moved = moved + 1
  end
end
if moved > 0 and redis.call('EXISTS', KEYS[3]) == 0 then redis.call('ZADD', KEYS[4], ARGV[2], ARGV[1]) end
return {moved, redis.call('XLEN', KEYS[1])}
