-- Keeps a mail and drops the oldest beyond the bounds. In one step, so that the counter says what is there, whoever
-- else keeps one at the moment.
--
-- KEYS     stream, counter of bytes
-- ARGV     bytes of the mail, the mail, mails at most, bytes at most
-- Answers  the id of the mail

local bytes = redis.call('INCRBY', KEYS[2], ARGV[1])
local id = redis.call('XADD', KEYS[1], '*', 'n', ARGV[1], 'm', ARGV[2])
while bytes > tonumber(ARGV[4]) or redis.call('XLEN', KEYS[1]) > tonumber(ARGV[3]) do
  local oldest = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
  if oldest[1] == id then break end
  redis.call('XDEL', KEYS[1], oldest[1])
  bytes = redis.call('DECRBY', KEYS[2], oldest[2][2])
end
return id
