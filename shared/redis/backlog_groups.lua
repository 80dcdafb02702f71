-- How far the groups of a stream have read it.
--
-- KEYS     stream, its dead stream
-- ARGV     how many entries are counted where the server does not know how many are unread
-- Answers  how many entries are in the stream, how many in the dead one, then of each group: its name, unread, read and
--          not acknowledged, ms since the epoch of the first of these (0: none)

local answer = {redis.call('XLEN', KEYS[1]), redis.call('XLEN', KEYS[2])}
local groups = redis.pcall('XINFO', 'GROUPS', KEYS[1])
if groups.err then return answer end
local function ms(id) return id and tonumber(string.match(id, '^%d+')) end
for _, flat in ipairs(groups) do
  local group = {}
  for i = 1, #flat, 2 do group[flat[i]] = flat[i + 1] end
  local after = '(' .. group['last-delivered-id']
  local next_one = redis.call('XRANGE', KEYS[1], after, '+', 'COUNT', 1)[1]
  local unread = tonumber(group.lag)
  if not next_one then
    unread = 0
  elseif not unread then
    unread = #redis.call('XRANGE', KEYS[1], after, '+', 'COUNT', ARGV[1])
  end
  local oldest = next_one and ms(next_one[1])
  if group.pending > 0 then
    local first = ms(redis.call('XPENDING', KEYS[1], group.name)[2])
    oldest = oldest and math.min(oldest, first) or first
  end
  answer[#answer + 1] = {group.name, unread, group.pending, oldest or 0}
end
return answer
