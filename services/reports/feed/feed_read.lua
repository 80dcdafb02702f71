-- Reads chunks of a feed on from a place, or back from it.
--
-- KEYS     feed, mark, what was trimmed
-- ARGV     ms and number of the place, 1 to read on or -1 to read back, most chunks
-- Answers  mark and what was trimmed ("" for none), whether there are no more chunks that way, and the chunks, in the
--          order of time

local ms, number, way, most = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local marks = {redis.call('GET', KEYS[2]) or '', redis.call('GET', KEYS[3]) or ''}

-- Whether a chunk begins where an entry before the place may be; read on, at the place too.
local function begins_before(at)
  local base_ms, base = struct.unpack('>I6I4', redis.call('LINDEX', KEYS[1], at))
  return base_ms < ms or (base_ms == ms and (base < number or (way == 1 and base == number)))
end

local length = redis.call('LLEN', KEYS[1])
local low, high = -1, length - 1
while low < high do
  local middle = math.floor((low + high + 1) / 2)
  if begins_before(middle) then low = middle else high = middle - 1 end
end
local first, last
if way == 1 then
  first = math.max(low, 0)
  last = math.min(first + most, length) - 1
else
  first, last = math.max(low - most + 1, 0), low
end
local chunks = {}
if last >= first then chunks = redis.call('LRANGE', KEYS[1], first, last) end
local is_end = way == 1 and last >= length - 1 or way == -1 and first <= 0
return {marks[1], marks[2], is_end and 1 or 0, chunks}
