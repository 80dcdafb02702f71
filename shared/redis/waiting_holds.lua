-- Tells what is held back, and until when.
--
-- KEYS     holds
-- ARGV     now, ms
-- Answers  of each: its name (site, or site, newline, queue), until when (ms)

local answer, found = {}, redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. ARGV[1], '+inf', 'WITHSCORES')
for i = 1, #found, 2 do
  answer[i] = found[i]
  answer[i + 1] = math.ceil(tonumber(found[i + 1]))
end
return answer
