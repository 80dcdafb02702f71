-- Writes down who withdrew their consent to be tracked, or gave it again, and tells trackers; what is older than what
-- is known changes nothing.
--
-- KEYS     untracked, its changes
-- ARGV     changes that are kept, then of each: mark and tenant, when (ms; negative where it was given again)
-- Answers  how many were news

local news = 0
for i = 2, #ARGV, 2 do
  local who, at = ARGV[i], ARGV[i + 1]
  local known = redis.call('HGET', KEYS[1], who)
  if not known or math.abs(tonumber(at)) > math.abs(tonumber(known)) then
    redis.call('HSET', KEYS[1], who, at)
    redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[1], '*', 'who', who, 'at', at)
    news = news + 1
  end
end
return news
