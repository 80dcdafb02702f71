-- Forgets that an address was ever on any list of a tenant, or left one.
--
-- KEYS     the tenant's lists
-- ARGV     the address
-- Answers  how many lists had it

local known = 0
for _, list in ipairs(redis.call('SMEMBERS', KEYS[1])) do
  local joined = addressed_delete(members_map(KEYS[1], list, 'joined'), ARGV[1])
  local left = addressed_delete(members_map(KEYS[1], list, 'left'), ARGV[1])
  if joined or left then
    known = known + 1
    members_tidy(KEYS[1], list)
  end
end
return known
