-- Counts a batch of facts, each thing once for its message, and tells what is to be judged by it.
--
-- KEYS     of each job its hash, what was counted of its messages, its figures; then the figures of each tenant
-- ARGV     lifetimes of a job's and of a tenant's figures, the stream that is judged, the batch as a msgpack list of
--          [first key of the job, key of the tenant, ordinal, what was seen (`Saw`), day]
-- Answers  two lists: first key, invalid and judged of each job that has an invalid address in the batch; keys of the
--          tenants that are to be judged

local bulk, jobs, tenants, touched, sums = {}, {}, {}, {}, {}

local function is_judged(job, ordinal)
  if bulk[job] == nil then
    local head = redis.call('HMGET', KEYS[job], JOB.stream, JOB.test, JOB.total)
    bulk[job] = head[1] == ARGV[3] and head[2] ~= '1' and tonumber(head[3])
  end
  return bulk[job] and ordinal < bulk[job]
end

local function is_new(job, ordinal, what)
  touched[job + 1] = ARGV[1]
  return redis.call('SETBIT', KEYS[job + 1], ordinal * 4 + what, 1) == 0
end

local function add(key, field, lifetime)
  touched[key] = lifetime
  sums[key] = sums[key] or {}
  sums[key][field] = (sums[key][field] or 0) + 1
end

for _, one in ipairs(cmsgpack.unpack(ARGV[4])) do
  local job, tenant, ordinal, what, day = unpack(one)
  if is_judged(job, ordinal) then
    if what == 0 and is_new(job, ordinal, 0) then add(tenant, 'delivered:' .. day, ARGV[2]) end
    if what == 3 then
      if is_new(job, ordinal, 3) then add(tenant, 'complaints:' .. day, ARGV[2]) end
      tenants[tenant] = true
    elseif is_new(job, ordinal, 1) then
      add(job + 2, 'judged', ARGV[1])
    end
    if what == 2 then
      if is_new(job, ordinal, 2) then add(job + 2, 'invalid', ARGV[1]) end
      jobs[job] = true
    end
  end
end
for key, fields in pairs(sums) do
  for field, number in pairs(fields) do
    local sum = redis.call('HINCRBY', KEYS[key], field, number)
    if sum == number and string.sub(field, 1, 9) == 'delivered' then tenants[key] = true end
  end
end
for key, lifetime in pairs(touched) do redis.call('PEXPIRE', KEYS[key], lifetime) end
local found, judged = {}, {}
for job in pairs(jobs) do
  local figures = redis.call('HMGET', KEYS[job + 2], 'invalid', 'judged')
  found[#found + 1] = job
  found[#found + 1] = tonumber(figures[1] or 0)
  found[#found + 1] = tonumber(figures[2] or 0)
end
for tenant in pairs(tenants) do judged[#judged + 1] = tenant end
return {found, judged}
