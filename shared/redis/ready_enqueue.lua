-- Adds a chunk's share of this partition. Once: a repeat finds the mark.
--
-- KEYS     one more, the last: the mark of the chunk
-- ARGV     its lifetime, then by queue: lane, site, queue, how many, and of each message expires_at and body
-- Answers  1, or 0 if it was there already

if not redis.call('SET', KEYS[#KEYS], '1', 'NX', 'PX', ARGV[4]) then return 0 end
local i = 5
while i < #ARGV do
  local lane, site, queue, last = ARGV[i], ARGV[i + 1], ARGV[i + 2], i + 3 + 2 * ARGV[i + 3]
  for at = i + 4, last, 2 do put(lane, site, queue, ARGV[at], ARGV[at + 1]) end
  i = last + 1
end
if settle() then wake_relays() end
return 1
