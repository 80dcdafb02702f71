-- Forgets what relays found out of a site: paces, rests and single connections. They see it within half a second.
--
-- KEYS     number of changes, paces, rests, single connections
-- ARGV     site, source of ours ('': every one)
-- Answers  how many were forgotten

local forgotten = 0
for at = 2, 4 do
  for _, pair in ipairs(redis.call('HKEYS', KEYS[at])) do
    local site, source = string.match(pair, '^(.*)\n([^\n]*)$')
    if site == ARGV[1] and (ARGV[2] == '' or source == ARGV[2]) then
      forgotten = forgotten + redis.call('HDEL', KEYS[at], pair)
    end
  end
end
if forgotten > 0 then redis.call('INCR', KEYS[1]) end
return forgotten
