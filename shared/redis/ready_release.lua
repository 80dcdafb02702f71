-- Puts messages back that were not tried; with no numbers, all, and the relay is gone.
--
-- ARGV     relay, numbers
-- Answers  how many

local mine, given = leased .. ARGV[4], {}
for i = 5, #ARGV do given[#given + 1] = ARGV[i] end
if #given == 0 then
  given = redis.call('HKEYS', mine)
  redis.call('ZREM', relays, ARGV[4])
end
for _, number in ipairs(given) do
  local value = redis.call('HGET', mine, number)
  if value then
    redis.call('HDEL', mine, number)
    put_back(value)
  end
end
settle()
wake_relays()
return #given
