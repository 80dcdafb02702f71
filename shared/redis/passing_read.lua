-- Reads on for a consumer, but for what its group passes over: of that nothing is kept in hand, and nothing answered.
--
-- KEYS     stream
-- ARGV     group, consumer, how many at most, the version that is known, then the names of what is passed over
-- Answers  how many were passed over, then the others as XRANGE does; of a newer version nothing is passed over

local skips = {}
for i = 5, #ARGV do skips[ARGV[i]] = true end
local read = redis.call('XREADGROUP', 'GROUP', ARGV[1], ARGV[2], 'NOACK', 'COUNT', ARGV[3], 'STREAMS', KEYS[1], '>')
local passed, found = 0, {}
for _, entry in ipairs(read and read[1][2] or {}) do
  local fields = entry[2]
  if fields[1] == 't' and skips[fields[2]] and fields[3] == 'v' and fields[4] == ARGV[4] then
    passed = passed + 1
  else
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, entry[1], 'FORCE', 'JUSTID')
    found[#found + 1] = entry
  end
end
return {passed, found}
