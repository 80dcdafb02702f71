-- Mails that are not sent count no more.
--
-- KEYS     base of the buckets
-- ARGV     how many buckets, then the mails, as `pressure_count` has them
-- Answers  how many had been counted

local buckets, sub, back = tonumber(ARGV[1]), string.sub, 0
for i = 2, #ARGV do
  local place, mark = sub(ARGV[i], 1, -7), sub(ARGV[i], -6)
  local bucket = KEYS[1] .. ':' .. struct.unpack('>I4', place) % buckets
  local mails = redis.call('HGET', bucket, place) or ''
  for at = 1, #mails, 10 do
    if sub(mails, at + 4, at + 9) == mark then
      local left = sub(mails, 1, at - 1) .. sub(mails, at + 10)
      if left == '' then
        redis.call('HDEL', bucket, place)
      else
        redis.call('HSET', bucket, place, left)
      end
      back = back + 1
      break
    end
  end
end
return back
