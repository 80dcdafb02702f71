-- Makes messages of a site due now that wait for another attempt. Looks at a bounded part of what waits.
--
-- ARGV     site, rank of the first that is looked at, how many are
-- Answers  how many were looked at, how many came back

local site, first, most = ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6])
local values, found = redis.call('ZRANGE', retry, first, first + most - 1), {}
for _, value in ipairs(values) do
  local _, its_site = string.match(value, '^(%d)([^\n]*)\n')
  if its_site == site then
    put(split(value))
    found[#found + 1] = value
  end
end
for i = 1, #found, 200 do redis.call('ZREM', retry, unpack(found, i, math.min(i + 199, #found))) end
if settle() or alone_came then wake_relays() end
return {#values, #found}
