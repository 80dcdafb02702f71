-- Counts whose the entries are, as `intake_use` should have it: an entry that was buried, or was handled twice, leaves
-- without being counted.
--
-- KEYS     intake, intake_use
-- ARGV     most entries: a longer lane is left alone
-- Answers  1, or 0 if it was left alone

if redis.call('XLEN', KEYS[1]) > tonumber(ARGV[1]) then return 0 end
local counts = {}
for _, entry in ipairs(redis.call('XRANGE', KEYS[1], '-', '+')) do
  for i = 1, #entry[2], 2 do
    if entry[2][i] == 'b' then
      local tenant = cmsgpack.unpack(entry[2][i + 1])[INTAKE.tenant]
      counts[tenant] = (counts[tenant] or 0) + 1
    end
  end
end
redis.call('DEL', KEYS[2])
for tenant, count in pairs(counts) do redis.call('HSET', KEYS[2], tenant, count) end
return 1
