-- Ends slots that were given up, then takes one for each who asks, in order: under every limit, or under none. The last
-- free slot is left to who wants it, if that one holds fewer.
--
-- KEYS     slots of each limit, then wanted of each
-- ARGV     owner, lease ms, wanted ms, msgpack of [slots to end under each limit, who asks]: each of these [slot,
--          number of a limit, how many it allows, and so on]
-- Answers  for each who asks 0, or which of its limits refused, counted from 1

local owner, lease_ms, wanted_ms = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local ending, asking = unpack(cmsgpack.unpack(ARGV[4]))
local count, answer = #KEYS / 2, {}
for i = 1, count do
  for _, slot in ipairs(ending[i]) do redis.call('ZREM', KEYS[i], slot) end
  redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', now)
end

local function refuses(i, most)
  local free = most - redis.call('ZCARD', KEYS[i])
  local wanting = redis.call('GET', KEYS[count + i])
  if free <= 0 then
    local of = wanting and shares(KEYS[i])
    if not wanting or wanting == owner or (of[owner] or 0) < (of[wanting] or 0) then
      redis.call('SET', KEYS[count + i], owner, 'PX', wanted_ms)
    end
    return true
  end
  if free > 1 or not wanting or wanting == owner then return false end
  local of = shares(KEYS[i])
  return (of[owner] or 0) > (of[wanting] or 0)
end

for number, one in ipairs(asking) do
  local refused = 0
  for at = 2, #one, 2 do
    if refuses(one[at], one[at + 1]) then refused = at / 2 end
  end
  answer[number] = refused
  if refused == 0 then
    for at = 2, #one, 2 do
      local slots, wanted = KEYS[one[at]], KEYS[count + one[at]]
      redis.call('ZADD', slots, now + lease_ms, one[1])
      redis.call('PEXPIRE', slots, math.max(lease_ms + 1000, redis.call('PTTL', slots)))
      if redis.call('GET', wanted) == owner then redis.call('DEL', wanted) end
    end
  end
end
return answer
