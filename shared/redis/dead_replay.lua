-- Puts a dead entry back into the stream that it comes from, for all of its readers.
--
-- KEYS     dead stream, stream
-- ARGV     id of the dead entry
-- Answers  1, or 0 if it is not there any more

local entry = redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1])[1]
if not entry then return 0 end
local fields, kept = entry[2], {}
for i = 1, #fields, 2 do
  if fields[i] == 't' or fields[i] == 'v' or fields[i] == 'b' then
    kept[#kept + 1] = fields[i]
    kept[#kept + 1] = fields[i + 1]
  end
end
redis.call('XADD', KEYS[2], '*', unpack(kept))
redis.call('XDEL', KEYS[1], ARGV[1])
return 1
