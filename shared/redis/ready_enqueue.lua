-- Adds a chunk's share of this partition. Once: a repeat finds the mark.
--
-- KEYS     one more, the last: the mark of the chunk
-- ARGV     its lifetime, how many are due later, due ms and message of each of these, then by queue: lane, site,
--          queue, how many, and of each message expires_at and body
-- Answers  1, or 0 if it was there already

if not redis.call('SET', KEYS[#KEYS], '1', 'NX', 'PX', ARGV[4]) then return 0 end
local later = 5 + 2 * ARGV[5]
for at = 6, later, 2 do redis.call('ZADD', retry, ARGV[at], ARGV[at + 1]) end
local i = later + 1
while i < #ARGV do
  local lane, site, queue, last = ARGV[i], ARGV[i + 1], ARGV[i + 2], i + 3 + 2 * ARGV[i + 3]
  for at = i + 4, last, 2 do put(lane, site, queue, ARGV[at], ARGV[at + 1]) end
  i = last + 1
end
if settle() or later > 5 then wake_relays() end
return 1
