-- Counts the first renderings of jobs, each message once, and tells of those that fail.
--
-- KEYS     renderings of each job
-- ARGV     their lifetime, how many messages are counted, the batch as a msgpack list of [key of the job, ordinal, 1 if
--          it failed]
-- Answers  key, failed, counted of each job that has a failure in the batch

local full, failing, found = {}, {}, {}
for _, one in ipairs(cmsgpack.unpack(ARGV[3])) do
  local job, ordinal, failed = unpack(one)
  if full[job] == nil then full[job] = redis.call('HLEN', KEYS[job]) >= tonumber(ARGV[2]) end
  if not full[job] and redis.call('HSETNX', KEYS[job], ordinal, failed) == 1 then
    redis.call('PEXPIRE', KEYS[job], ARGV[1])
    full[job] = redis.call('HLEN', KEYS[job]) >= tonumber(ARGV[2])
  end
  if failed == 1 then failing[job] = true end
end
for job in pairs(failing) do
  local bad, all = 0, redis.call('HVALS', KEYS[job])
  for _, one in ipairs(all) do bad = bad + tonumber(one) end
  found[#found + 1] = job
  found[#found + 1] = bad
  found[#found + 1] = #all
end
return found
