-- Tells of what waits for another attempt, by queue: of all where that is little, else of so many picked at random.
--
-- KEYS     retry
-- ARGV     most messages that are looked at
-- Answers  how many there are, how many were looked at, then of each queue: its name, messages seen, when the first of
--          these is due (ms)

local total, most = redis.call('ZCARD', KEYS[1]), tonumber(ARGV[1])
local found
if total <= most then
  found = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
else
  found = redis.call('ZRANDMEMBER', KEYS[1], most, 'WITHSCORES')
end
local counts, due, answer = {}, {}, {total, #found / 2}
for i = 1, #found, 2 do
  local name = string.match(found[i], '^(%d[^\n]*\n[^\n]*)\n')
  local at = tonumber(found[i + 1])
  counts[name] = (counts[name] or 0) + 1
  if not due[name] or at < due[name] then due[name] = at end
end
for name, count in pairs(counts) do
  answer[#answer + 1] = name
  answer[#answer + 1] = count
  answer[#answer + 1] = math.ceil(due[name])
end
return answer
