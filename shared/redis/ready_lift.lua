-- Hands out again what is held back of a site, all of it and each of its queues.
--
-- ARGV     site
-- Answers  how many holds there were

local site, lifted = ARGV[4], redis.call('ZREM', holds, ARGV[4])
for _, member in ipairs(redis.call('ZRANGE', holds, 0, -1)) do
  if string.sub(member, 1, #site + 1) == site .. '\n' then lifted = lifted + redis.call('ZREM', holds, member) end
end
for lane = 0, 1 do
  local key = turns .. lane .. ':' .. site
  for _, queue in ipairs(redis.call('ZRANGEBYSCORE', key, '(' .. now, '+inf')) do
    redis.call('ZADD', key, 'XX', now, queue)
  end
end
redis.call('ZADD', sites, 'XX', now, site)
redis.call('ZADD', urgent, 'XX', now, site)
wake_relays()
return lifted
