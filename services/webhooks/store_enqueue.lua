-- Events into the queue of an endpoint, as many as it may hold. What a crash made its reader bring again is there once.
--
-- KEYS     queue, state, lease of the endpoint, and the zset of what is due in its partition
-- ARGV     the endpoint, now (ms), how many may wait, field of the state that names the last batch of this source ("":
--          none), its first and last entry, then the events
-- Answers  how many were taken, dropped because too many wait, and not wanted because the endpoint is disabled

local function position(id)
  local ms, number = string.match(id, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(number)
end

local function is_before(a, b)
  local a_ms, a_number = position(a)
  local b_ms, b_number = position(b)
  return a_ms < b_ms or (a_ms == b_ms and a_number < b_number)
end

local function is_repeated(field, first, last)
  if field == '' then return false end
  local known = redis.call('HGET', KEYS[2], field)
  local before = first .. ' ' .. last
  if known then
    local known_first, known_last = string.match(known, '^(%S+) (%S+)$')
    if not is_before(first, known_first) and not is_before(known_last, last) then return true end
  end
  redis.call('HSET', KEYS[2], field, before)
  return false
end

local count = #ARGV - 6
if redis.call('HEXISTS', KEYS[2], 'disabled_at') == 1 then
  redis.call('HINCRBY', KEYS[2], 'missed', count)
  return {0, 0, count}
end
if is_repeated(ARGV[4], ARGV[5], ARGV[6]) then return {0, 0, 0} end
local room = math.max(0, tonumber(ARGV[3]) - redis.call('XLEN', KEYS[1]))
local taken = math.min(count, room)
for at = 1, taken do redis.call('XADD', KEYS[1], '*', 'e', ARGV[6 + at]) end
if taken < count then redis.call('HINCRBY', KEYS[2], 'dropped', count - taken) end
if taken > 0 and redis.call('EXISTS', KEYS[3]) == 0 then
  local rests = tonumber(redis.call('HGET', KEYS[2], 'rests_until') or 0)
  local due = redis.call('ZSCORE', KEYS[4], ARGV[1])
  if rests <= tonumber(ARGV[2]) and (not due or tonumber(due) > tonumber(ARGV[2])) then
    redis.call('ZADD', KEYS[4], ARGV[2], ARGV[1])
  end
end
return {taken, count - taken, 0}
