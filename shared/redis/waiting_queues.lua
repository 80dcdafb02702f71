-- Tells of the ready queues of a partition, a page of them.
--
-- KEYS     expiries, which names every queue that has messages; the beginnings of ready streams and of sites' records
-- ARGV     rank of the first, how many
-- Answers  of each: its name (lane, site, newline, queue), messages, id of the first, messages of its site in hand

local answer = {}
for _, name in ipairs(redis.call('ZRANGE', KEYS[1], ARGV[1], ARGV[1] + ARGV[2] - 1)) do
  local lane, site, queue = string.match(name, '^(%d)([^\n]*)\n(.*)$')
  local stream = KEYS[2] .. lane .. ':' .. site .. ':' .. queue
  local first = redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
  if first then
    answer[#answer + 1] = name
    answer[#answer + 1] = redis.call('XLEN', stream)
    answer[#answer + 1] = first[1]
    answer[#answer + 1] = tonumber(redis.call('HGET', KEYS[3] .. site, 'leased') or 0)
  end
end
return answer
