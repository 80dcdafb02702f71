-- Counts mails to addresses, each once by its mark, but for those whose address has had all that it may get.
--
-- KEYS     base of the buckets
-- ARGV     now (s), the longest period (s), how many buckets, rules (msgpack: most and seconds of each), then of each
--          mail the bytes that stand for its address, eight or so, and the six of its mark
-- Answers  the places among the mails, from 0, of those that are refused
--
-- What a bucket has of an address: second and mark of each mail, ten bytes, the oldest first. Its field '' is the
-- second in which it was cleaned last.

local now, longest, buckets = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local rules, stamp = cmsgpack.unpack(ARGV[4]), struct.pack('>I4', now)
local call, sub, number, begin = redis.call, string.sub, struct.unpack, KEYS[1] .. ':'
local refused = {}

local function clean(bucket)
  local all = call('HGETALL', bucket)
  for i = 1, #all, 2 do
    local mails = all[i + 1]
    if all[i] ~= '' and now - number('>I4', mails, #mails - 9) >= longest then call('HDEL', bucket, all[i]) end
  end
  call('HSET', bucket, '', stamp)
end

for i = 5, #ARGV do
  local one = ARGV[i]
  local place, mark = sub(one, 1, -7), sub(one, -6)
  local bucket = begin .. number('>I4', one) % buckets
  local found = call('HMGET', bucket, place, '')
  local mails, from, is_known, is_full = found[1] or '', nil, false, false
  for at = 1, #mails, 10 do
    if not from and now - number('>I4', mails, at) < longest then from = at end
    if sub(mails, at + 4, at + 9) == mark then is_known = true end
  end
  mails = from and sub(mails, from) or ''
  for _, rule in ipairs(rules) do
    local count = 0
    for at = 1, #mails, 10 do
      if now - number('>I4', mails, at) < rule[2] then count = count + 1 end
    end
    if count >= rule[1] then is_full = true end
  end
  if is_known then
    -- Whatever counts by now, it is on its way.
  elseif is_full then
    refused[#refused + 1] = i - 5
  else
    call('HSET', bucket, place, mails .. stamp .. mark)
    call('EXPIRE', bucket, longest)
    if not found[2] then
      call('HSET', bucket, '', stamp)
    elseif now - number('>I4', found[2]) > longest / 4 then
      clean(bucket)
    end
  end
end
return refused
