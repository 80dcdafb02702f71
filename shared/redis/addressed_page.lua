-- Whole buckets of a map, from a place on in its order, until enough addresses have come or enough buckets were looked
-- into.
--
-- KEYS     the map
-- ARGV     the place: a bit-reversed hash; addresses that are enough; buckets that are enough
-- Answers  the place where the next bucket begins, 2^32 at the end; then addresses and values, in no order

local function reversed(number)
  local turned = 0
  for _ = 1, 32 do
    turned = turned * 2 + number % 2
    number = math.floor(number / 2)
  end
  return turned
end

local base, at, enough = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])
local buckets, answer, looked = addressed_buckets(base), {}, 0
if buckets == 0 then return {addressed_turn} end
local half = addressed_half(buckets)
while at < addressed_turn and #answer < 2 * enough and looked < tonumber(ARGV[3]) do
  local bucket = addressed_place(reversed(at), buckets)
  for _, part in ipairs(redis.call('HGETALL', base .. ':' .. string.format('%.0f', bucket))) do
    answer[#answer + 1] = part
  end
  -- A bucket that is split, or came of a split, has one bit more than the others: half as much of the order.
  local is_split = bucket >= half or bucket < buckets - half
  local width = addressed_turn / (is_split and 2 * half or half)
  at = (math.floor(at / width) + 1) * width
  looked = looked + 1
end
table.insert(answer, 1, at)
return answer
