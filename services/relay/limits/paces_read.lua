-- All that is shared, in one step, so that it belongs to the number of changes that comes with it. Removes rests and
-- single connections that are over.
--
-- KEYS     changes, paces, rests, single connections
-- ARGV     none
-- Answers  the number of changes, then all fields and values of each of the three

for at = 3, 4 do
  local flat = redis.call('HGETALL', KEYS[at])
  for i = 1, #flat, 2 do
    if tonumber(flat[i + 1]) <= now then redis.call('HDEL', KEYS[at], flat[i]) end
  end
end
local answer = {tonumber(redis.call('GET', KEYS[1]) or 0)}
for at = 2, 4 do answer[at] = redis.call('HGETALL', KEYS[at]) end
return answer
