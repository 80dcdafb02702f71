-- Hands out nothing of a site, or of a queue at it, until then. Never shortens.
--
-- ARGV     site, queue ('': all of the site), until ms
-- Answers  1, or 0 if that is over already

local site, queue, till = ARGV[4], ARGV[5], tonumber(ARGV[6])
if till <= now then return 0 end
if queue == '' then
  redis.call('ZADD', holds, 'GT', till, site)
  redis.call('ZADD', sites, 'XX', 'GT', till, site)
  redis.call('ZADD', urgent, 'XX', 'GT', till, site)
else
  redis.call('ZADD', holds, 'GT', till, site .. '\n' .. queue)
  for lane = 0, 1 do redis.call('ZADD', turns .. lane .. ':' .. site, 'XX', 'GT', till, queue) end
end
return 1
