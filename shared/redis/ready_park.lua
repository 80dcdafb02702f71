-- Takes messages out of the relay's hand and aside, by job, where `unpark` and `take_expired` find them.
--
-- ARGV     relay, then number and job of each message
-- Answers  how many it had

local mine, found, jobs = leased .. ARGV[4], 0, {}
for i = 5, #ARGV, 2 do
  local value = redis.call('HGET', mine, ARGV[i])
  if value then
    redis.call('HDEL', mine, ARGV[i])
    local lane, site, _, expires_at = split(value)
    redis.call('ZADD', parked .. ARGV[i + 1], expires_at == '0' and '+inf' or expires_at, value)
    count(site, lane, -1)
    jobs[ARGV[i + 1]] = true
    found = found + 1
  end
end
for job in pairs(jobs) do index_parked(job) end
if settle() then wake_relays() end
return found
