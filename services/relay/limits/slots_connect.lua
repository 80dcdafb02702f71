-- Takes a slot under every limit, or under none. The last free slot is left to who wants it, if that one holds fewer.
--
-- KEYS     slots of each limit, then wanted of each
-- ARGV     owner, slot, lease ms, wanted ms, then how many each limit allows
-- Answers  0, or the number of the limit that refused

local count, refused = #KEYS / 2, 0
for i = 1, count do
  redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', now)
  local free = ARGV[4 + i] - redis.call('ZCARD', KEYS[i])
  local wanting = redis.call('GET', KEYS[count + i])
  if free <= 0 then
    refused = i
    local of = wanting and shares(KEYS[i])
    if not wanting or wanting == ARGV[1] or (of[ARGV[1]] or 0) < (of[wanting] or 0) then
      redis.call('SET', KEYS[count + i], ARGV[1], 'PX', ARGV[4])
    end
  elseif free == 1 and wanting and wanting ~= ARGV[1] then
    local of = shares(KEYS[i])
    if (of[ARGV[1]] or 0) > (of[wanting] or 0) then refused = i end
  end
end
if refused > 0 then return refused end
for i = 1, count do
  redis.call('ZADD', KEYS[i], now + ARGV[3], ARGV[2])
  redis.call('PEXPIRE', KEYS[i], math.max(ARGV[3] + 1000, redis.call('PTTL', KEYS[i])))
  if redis.call('GET', KEYS[count + i]) == ARGV[1] then redis.call('DEL', KEYS[count + i]) end
end
return 0
