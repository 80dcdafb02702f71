-- Adds counts to the reports of domains, each up to a bound of kinds, so that whoever makes up hosts fills no memory.
--
-- KEYS     the domains of the day, then a hash for each domain
-- ARGV     most fields, seconds kept, then of each domain its name, how many lines, and each line with its count
-- Answers  1

local most, kept, at = tonumber(ARGV[1]), ARGV[2], 3
for i = 2, #KEYS do
  redis.call('SADD', KEYS[1], ARGV[at])
  local lines = tonumber(ARGV[at + 1])
  at = at + 2
  for _ = 1, lines do
    if redis.call('HEXISTS', KEYS[i], ARGV[at]) == 1 or redis.call('HLEN', KEYS[i]) < most then
      redis.call('HINCRBY', KEYS[i], ARGV[at], ARGV[at + 1])
    end
    at = at + 2
  end
  redis.call('EXPIRE', KEYS[i], kept)
end
redis.call('EXPIRE', KEYS[1], kept)
return 1
