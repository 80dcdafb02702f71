-- How much of each lane and site is in a sorted set of messages. Of more than so many members, that many are drawn.
--
-- KEYS     the sorted set: its members are `<lane><site>\n<queue>\n<expires_at>\n<Ready>`
-- ARGV     most members that are looked at
-- Answers  how many members there are, how many were looked at (1 where there are none), then of each lane and site
--          `<lane><site>`, how many of these are its, and the smallest id of a job among them, which was made first

local most, total = tonumber(ARGV[1]), redis.call('ZCARD', KEYS[1])
local members
if total <= most then
  members = redis.call('ZRANGE', KEYS[1], 0, -1)
else
  members = redis.call('ZRANDMEMBER', KEYS[1], most)
end
local counts, first = {}, {}
for _, member in ipairs(members) do
  local place, body = string.match(member, '^([^\n]*)\n[^\n]*\n[^\n]*\n(.*)$')
  if place then
    counts[place] = (counts[place] or 0) + 1
    local read, ready = pcall(cmsgpack.unpack, body)
    local job = read and type(ready) == 'table' and ready[READY.job]
    if type(job) == 'string' and (not first[place] or job < first[place]) then first[place] = job end
  end
end
local answer = {total, math.max(1, #members)}
for place, count in pairs(counts) do
  answer[#answer + 1] = place
  answer[#answer + 1] = count
  answer[#answer + 1] = first[place] or ''
end
return answer
