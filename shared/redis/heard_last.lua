-- Tells what sites said last, and what is known of their limits.
--
-- KEYS     of each site: its last replies, its limits
-- ARGV     none
-- Answers  of each site: its limits ('' if not known), its replies, the latest first

local answer = {}
for i = 1, #KEYS, 2 do
  answer[i] = redis.call('GET', KEYS[i + 1]) or ''
  answer[i + 1] = redis.call('LRANGE', KEYS[i], 0, -1)
end
return answer
