-- How much waits in ready queues, and since when.
--
-- KEYS     what the name of a ready stream begins with
-- ARGV     names of queues, each `<lane><site>\n<queue>`
-- Answers  of each queue how many messages it has, and the ms since the epoch at which the first was put there (0:
--          none)

local answer = {}
for i, name in ipairs(ARGV) do
  local lane, site, queue = string.match(name, '^(%d)([^\n]*)\n(.*)$')
  local stream = KEYS[1] .. lane .. ':' .. site .. ':' .. queue
  local first = redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
  answer[2 * i - 1] = redis.call('XLEN', stream)
  answer[2 * i] = first and tonumber(string.match(first[1], '^%d+')) or 0
end
return answer
