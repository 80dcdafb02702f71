-- Lists addresses and tells of each that is new, in one step: what is told is what happened. Each event is applied
-- once.
--
-- For a stronger reason the new record holds, with the time at which the address entered the list; else the old one
-- holds. The diagnostic is the last in either case.
--
-- KEYS     events, then of each address its list, index and mark
-- ARGV     lifetime of a mark, version of the event, reasons from the weakest to the strongest with commas between,
--          then of each address: itself, its record, the event that tells that it is listed
-- Answers  for each address: 1 it is new on the list, 0 it was there, -1 this event was applied before

local strength, number = {}, 0
for reason in string.gmatch(ARGV[3], '[^,]+') do
  number = number + 1
  strength[reason] = number
end
local answers = {}
for i = 1, (#ARGV - 3) / 3 do
  local list, index, mark = KEYS[3 * i - 1], KEYS[3 * i], KEYS[3 * i + 1]
  local address, packed, told = ARGV[3 * i + 1], ARGV[3 * i + 2], ARGV[3 * i + 3]
  if not redis.call('SET', mark, '1', 'NX', 'PX', ARGV[1]) then
    answers[i] = -1
  else
    local known = redis.call('HGET', list, address)
    if known then
      local old, new = cmsgpack.unpack(known), cmsgpack.unpack(packed)
      if strength[new[RECORD.reason]] > (strength[old[RECORD.reason]] or 0) then
        new[RECORD.since_ms] = old[RECORD.since_ms]
        old = new
      elseif new[RECORD.diagnostic] ~= '' then
        old[RECORD.diagnostic] = new[RECORD.diagnostic]
      end
      redis.call('HSET', list, address, cmsgpack.pack(old))
      answers[i] = 0
    else
      redis.call('HSET', list, address, packed)
      redis.call('ZADD', index, 0, address)
      redis.call('XADD', KEYS[1], '*', 't', 'Suppressed', 'v', ARGV[2], 'b', told)
      answers[i] = 1
    end
  end
end
return answers
