-- Begins the scripts that know the time: it is the server's, so that relays whose clocks differ count in the same
-- buckets. `tell` adds what a relay saw to the bucket of now: [pair, accepted, refused] each.

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local function tell(prefix, bucket_ms, lifetime_ms, counts)
  if #counts == 0 then return end
  local key = prefix .. math.floor(now / bucket_ms)
  for _, count in ipairs(counts) do
    if count[2] > 0 then redis.call('HINCRBY', key, count[1], count[2]) end
    if count[3] > 0 then redis.call('HINCRBY', key, count[1] .. '\n-', count[3]) end
  end
  redis.call('PEXPIRE', key, lifetime_ms)
end
