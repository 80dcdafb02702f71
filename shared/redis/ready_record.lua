-- Ends leases: each message is done, or waits to be tried again. Numbers that this relay no longer holds are passed
-- over.
--
-- ARGV     relay, then number, due ms ('': done) and body of each message
-- Answers  how many were passed over

local mine, lost, later = leased .. ARGV[4], 0, false
for i = 5, #ARGV, 3 do
  local value = redis.call('HGET', mine, ARGV[i])
  if not value then
    lost = lost + 1
  else
    redis.call('HDEL', mine, ARGV[i])
    -- An attempt that came to its end brought nobody down: the next one begins without a count.
    local head, site = string.match(value, '^(%d([^\n]*)\n[^\n]*\n%d+)')
    count(site, string.sub(head, 1, 1), -1)
    if ARGV[i + 1] ~= '' then
      redis.call('ZADD', retry, ARGV[i + 1], head .. '\n' .. ARGV[i + 2])
      later = true
    end
  end
end
if settle() or later then wake_relays() end
return lost
