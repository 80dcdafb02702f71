-- How messages of one job stand: one call for all that are asked about, so that the answers are of the same moment.
--
-- KEYS     the bitmap of a job, its begun attempts
-- ARGV     of each message its ordinal, and the byte of its attempt (0: not asked about)
-- Answers  for each: 1 it has ended, 2 this attempt was begun, else 0

local stands = {}
for i = 1, #ARGV, 2 do
  local stand = redis.call('GETBIT', KEYS[1], ARGV[i])
  if stand == 0 and ARGV[i + 1] ~= '0' then
    if string.byte(redis.call('GETRANGE', KEYS[2], ARGV[i], ARGV[i])) == tonumber(ARGV[i + 1]) then stand = 2 end
  end
  stands[#stands + 1] = stand
end
return stands
