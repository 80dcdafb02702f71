-- The numbers of groups in a tenant's day; a group that is new there gets the next one, while there are any.
--
-- KEYS     the day's statistics, marks of days that are not in the archive
-- ARGV     how many groups there are at most, the number of those beyond, until when (ms) the day is kept, its field in
--          the marks ('': it is not to be in the archive), then groups
-- Answers  the number of each

local numbers = {}
for i = 5, #ARGV do
  local field = 'g' .. ARGV[i]
  local known = tonumber(redis.call('HGET', KEYS[1], field) or nil)
  if not known then
    known = tonumber(redis.call('HGET', KEYS[1], '#') or 0) + 1
    if known > tonumber(ARGV[1]) then
      known = tonumber(ARGV[2])
    else
      redis.call('HSET', KEYS[1], '#', known, field, known)
    end
  end
  numbers[#numbers + 1] = known
end
if ARGV[4] == '' or redis.call('HEXISTS', KEYS[2], ARGV[4]) == 0 then redis.call('PEXPIREAT', KEYS[1], ARGV[3]) end
return numbers
