-- The messages of an address, by the hash of it.
--
-- KEYS     the base of each window
-- ARGV     most records of a bucket that are looked at, the last ones; then each hash of the address
-- Answers  what records have behind the hash, in one string

local most, found = tonumber(ARGV[1]), {}
for _, base in ipairs(KEYS) do
  for i = 2, #ARGV do
    local hash = ARGV[i]
    for _, record in ipairs(redis.call('LRANGE', (history_leaf(base, hash)), -most, -1)) do
      if string.sub(record, 1, #hash) == hash then found[#found + 1] = string.sub(record, #hash + 1) end
    end
  end
end
return table.concat(found)
