-- Puts rules of a tenant, all of them or, where there would be too many, none. A pattern that is there keeps the time
-- at which it was put first. Where nothing is other than before, the version stays.
--
-- KEYS     rules of the tenant, versions
-- ARGV     tenant, version if something changes, how many rules it may have, 1 to take away those that are not named
--          ('0': they stay), then of each rule: pattern, the rule
-- Answers  how many there were, and, if they were put: added, changed, unchanged, removed

local before = redis.call('HLEN', KEYS[1])
local named, number, added = {}, 0, 0
for i = 5, #ARGV, 2 do
  if not named[ARGV[i]] then
    named[ARGV[i]] = true
    number = number + 1
    if redis.call('HEXISTS', KEYS[1], ARGV[i]) == 0 then added = added + 1 end
  end
end
local after = ARGV[4] == '1' and number or before + added
if after > tonumber(ARGV[3]) and after > before then return {before} end

local changed, removed = 0, 0
if ARGV[4] == '1' then
  for _, pattern in ipairs(redis.call('HKEYS', KEYS[1])) do
    if not named[pattern] then
      redis.call('HDEL', KEYS[1], pattern)
      removed = removed + 1
    end
  end
end
for i = 5, #ARGV, 2 do
  local known, rule = redis.call('HGET', KEYS[1], ARGV[i]), ARGV[i + 1]
  if known then
    local new = cmsgpack.unpack(rule)
    new[RULE.since_ms] = cmsgpack.unpack(known)[RULE.since_ms]
    rule = cmsgpack.pack(new)
    if rule ~= known then changed = changed + 1 end
  end
  if rule ~= known then redis.call('HSET', KEYS[1], ARGV[i], rule) end
end
if added + changed + removed > 0 then redis.call('HSET', KEYS[2], ARGV[1], ARGV[2]) end
return {before, added, changed, number - added - changed, removed}
