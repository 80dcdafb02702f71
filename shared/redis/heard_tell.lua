-- Keeps what sites said last, the latest first, and what is known of their limits.
--
-- KEYS     of each site: its last replies, its limits
-- ARGV     how many replies are kept, lifetime ms, msgpack of a list for each site: limits ('': as they were), then
--          replies, the latest last
-- Answers  how many replies were added

local added = 0
for at, told in ipairs(cmsgpack.unpack(ARGV[3])) do
  local replies, limits = KEYS[at * 2 - 1], KEYS[at * 2]
  if told[1] ~= '' then redis.call('SET', limits, told[1], 'PX', ARGV[2]) end
  for i = 2, #told do
    redis.call('LPUSH', replies, told[i])
    added = added + 1
  end
  if #told > 1 then
    redis.call('LTRIM', replies, 0, ARGV[1] - 1)
    redis.call('PEXPIRE', replies, ARGV[2])
  end
end
return added
