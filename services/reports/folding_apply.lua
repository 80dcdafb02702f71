-- Puts away what some batches added up to, and takes them out of the list, in one step.
--
-- A day that is to be in the archive is kept until it is there as it is now: it is marked for that. Of one whose time
-- is over nothing is kept, unless it was waiting for the archive.
--
-- KEYS     the list, how many were put away, marks of days that are not in the archive, then of each hash its name, and
--          what must be there for it to be changed
-- ARGV     how many had been put away when the list was read, how many batches these are, then of each hash until when
--          (ms) it is kept (0: for as long as nobody removes it), its field in the marks ('': it is not to be in the
--          archive), how many fields, and each field with its number
-- Answers  1, or 0 if somebody else has put batches away since

if tonumber(redis.call('GET', KEYS[2]) or 0) ~= tonumber(ARGV[1]) then return 0 end
local folded = tonumber(ARGV[1]) + tonumber(ARGV[2])
local at = 3
for i = 4, #KEYS, 2 do
  local until_ms, mark, fields = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2])
  local is_there = redis.call('EXISTS', KEYS[i + 1]) == 1
  for field = at + 3, at + 1 + 2 * fields, 2 do
    if is_there and ARGV[field + 1] ~= '0' then redis.call('HINCRBY', KEYS[i], ARGV[field], ARGV[field + 1]) end
  end
  if until_ms ~= '0' then
    if mark == '' or redis.call('HEXISTS', KEYS[3], mark) == 0 then redis.call('PEXPIREAT', KEYS[i], until_ms) end
    if mark ~= '' and redis.call('EXISTS', KEYS[i]) == 1 then
      redis.call('PERSIST', KEYS[i])
      redis.call('HSET', KEYS[3], mark, string.format('%d %s', folded, until_ms))
    end
  end
  at = at + 3 + 2 * fields
end
redis.call('LTRIM', KEYS[1], ARGV[2], -1)
redis.call('SET', KEYS[2], folded)
return 1
