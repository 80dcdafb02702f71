-- Forgets figures of a tenant that are not judged any more.
--
-- KEYS     figures of a tenant
-- ARGV     what the fields that go begin with ('': anything), the day before which they go ('': all)
-- Answers  how many went

local gone = 0
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  local what, day = string.match(field, '^(%a+):(%d+)$')
  if (ARGV[1] == '' or what == ARGV[1]) and (ARGV[2] == '' or tonumber(day) < tonumber(ARGV[2])) then
    gone = gone + redis.call('HDEL', KEYS[1], field)
  end
end
return gone
