-- What a decision about a pace is made on; what this relay saw itself is told first, because it is a part of that.
--
-- KEYS     changes, paces
-- ARGV     as of `tell`, then the pair and the number of buckets
-- Answers  the time, how long the last bucket has run, the pace ('' if none), then accepted and refused of each bucket

tell(ARGV[1], ARGV[2], ARGV[3], cmsgpack.unpack(ARGV[4]))
local last = math.floor(now / ARGV[2])
local answer = {now, now - last * ARGV[2], redis.call('HGET', KEYS[2], ARGV[5]) or ''}
for bucket = last - ARGV[6] + 1, last do
  for _, count in ipairs(redis.call('HMGET', ARGV[1] .. bucket, ARGV[5], ARGV[5] .. '\n-')) do
    answer[#answer + 1] = tonumber(count or 0)
  end
end
return answer
