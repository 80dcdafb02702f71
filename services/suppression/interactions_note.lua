-- Notes when addresses were last heard of, and when their tenant was warned. The later day holds, so all of it may be
-- done twice, and in any order.
--
-- KEYS     the map
-- ARGV     of each: address, day of the interaction, day of the warning; 0 for none
-- Answers  how many were news

local news = 0
for at = 1, #ARGV, 3 do
  local stored = addressed_get(KEYS[1], ARGV[at])
  local known = stored and cmsgpack.unpack(stored) or { 0, 0 }
  local last, warned = math.max(known[1], tonumber(ARGV[at + 1])), math.max(known[2], tonumber(ARGV[at + 2]))
  if last ~= known[1] or warned ~= known[2] then
    addressed_set(KEYS[1], ARGV[at], cmsgpack.pack({ last, warned }))
    news = news + 1
  end
end
return news
