-- Renews slots and ends others. What is gone is told, because another connection may be in its place.
--
-- KEYS     slots of each limit, then wanted of each
-- ARGV     owner, lease ms, msgpack of [the owner's slots under each limit, slots to end under each]
-- Answers  slots that are gone, and for each limit 0, 1 (wanted) or 2 (wanted by one that holds fewer, by two at least)

local held, ending = unpack(cmsgpack.unpack(ARGV[3]))
local count, gone, wants = #KEYS / 2, {}, {}
for i = 1, count do
  for _, slot in ipairs(ending[i]) do redis.call('ZREM', KEYS[i], slot) end
  for _, slot in ipairs(held[i]) do
    if tonumber(redis.call('ZSCORE', KEYS[i], slot) or 0) > now then
      redis.call('ZADD', KEYS[i], now + ARGV[2], slot)
    else
      gone[#gone + 1] = slot
    end
  end
  if #held[i] > 0 then
    redis.call('PEXPIRE', KEYS[i], math.max(ARGV[2] + 1000, redis.call('PTTL', KEYS[i])))
  end
  local wanting = redis.call('GET', KEYS[count + i])
  wants[i] = 0
  if wanting then
    redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', now)
    local of = shares(KEYS[i])
    wants[i] = (wanting ~= ARGV[1] and (of[ARGV[1]] or 0) >= (of[wanting] or 0) + 2) and 2 or 1
  end
end
return {gone, wants}
