-- Keeps messages and drops the oldest beyond the bounds; the newest stays, however large it is. In one step, so that
-- neither a body nor its size is left behind by a list that has gone on.
--
-- KEYS     messages, bodies, bytes
-- ARGV     messages to keep, bytes to keep, then of each message its return path, its recipients, its header, all of it
-- Answers  how many there are

for i = 3, #ARGV, 4 do
  local size = #ARGV[i + 3]
  local id = redis.call('XADD', KEYS[1], '*', 'f', ARGV[i], 't', ARGV[i + 1], 'h', ARGV[i + 2], 's', size)
  redis.call('HSET', KEYS[2], id, ARGV[i + 3])
  redis.call('INCRBY', KEYS[3], size)
end
local count = redis.call('XLEN', KEYS[1])
local bytes = tonumber(redis.call('GET', KEYS[3]) or '0')
while count > 1 and (count > tonumber(ARGV[1]) or bytes > tonumber(ARGV[2])) do
  local oldest = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
  redis.call('XDEL', KEYS[1], oldest[1])
  redis.call('HDEL', KEYS[2], oldest[1])
  bytes = redis.call('DECRBY', KEYS[3], oldest[2][8])
  count = count - 1
end
return count
