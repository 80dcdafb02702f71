-- Counts for how long each registered group has been silent, and tells which of them still hold something back.
--
-- KEYS     readers of a stream
-- ARGV     the longest silence between two looks, how long a silent reader holds something back, both ms
-- Answers  the groups that do

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local looked = tonumber(redis.call('HGET', KEYS[1], 'looked') or now)
redis.call('HSET', KEYS[1], 'looked', now)
local passed = math.max(0, math.min(now - looked, tonumber(ARGV[1])))
local holding = {}
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  local group = string.match(field, '^silent:(.*)$')
  if group and redis.call('HINCRBY', KEYS[1], field, passed) <= tonumber(ARGV[2]) then
    holding[#holding + 1] = group
  end
end
return holding
