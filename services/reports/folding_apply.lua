-- Puts away what some batches added up to, and takes them out of the list, in one step.
--
-- KEYS     the list, how many were put away, then of each hash its name, and what must be there for it to be changed
-- ARGV     how many had been put away when the list was read, how many batches these are, then of each hash until when
--          (ms) it is kept (0: for as long as nobody removes it), how many fields, and each field with its number
-- Answers  1, or 0 if somebody else has put batches away since

if tonumber(redis.call('GET', KEYS[2]) or 0) ~= tonumber(ARGV[1]) then return 0 end
local at = 3
for i = 3, #KEYS, 2 do
  local until_ms, fields = ARGV[at], tonumber(ARGV[at + 1])
  local is_there = redis.call('EXISTS', KEYS[i + 1]) == 1
  for field = at + 2, at + 2 * fields, 2 do
    if is_there and ARGV[field + 1] ~= '0' then redis.call('HINCRBY', KEYS[i], ARGV[field], ARGV[field + 1]) end
  end
  if until_ms ~= '0' then redis.call('PEXPIREAT', KEYS[i], until_ms) end
  at = at + 2 + 2 * fields
end
redis.call('LTRIM', KEYS[1], ARGV[2], -1)
redis.call('SET', KEYS[2], tonumber(ARGV[1]) + tonumber(ARGV[2]))
return 1
