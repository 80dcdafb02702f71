-- Takes entries off a list, and tells of each that is gone, in one step. One that has become another since is left.
-- What is known of it stays: the last diagnostic of an address that is taken back is worth knowing.
--
-- Whose entry for one list goes has not left it any more, and is not on it either.
--
-- KEYS     events, map of the entries, the tenant's lists
-- ARGV     version of the event, the entries that go (msgpack), then of each the event, '' for none
-- Answers  for each 1 if it is gone, else 0

local base, answers = KEYS[2], {}
for i, one in ipairs(cmsgpack.unpack(ARGV[2])) do
  local packed = addressed_get(base, one[GONE.address])
  local left, gone = {}, 0
  for _, entry in ipairs(packed and cmsgpack.unpack(packed) or {}) do
    if entry[ENTRY.kind] == one[GONE.kind] and entry[ENTRY.list] == one[GONE.list]
      and entry[ENTRY.strength] == one[GONE.strength] then
      gone = 1
    else
      left[#left + 1] = entry
    end
  end
  if gone == 1 then
    if #left > 0 then
      addressed_set(base, one[GONE.address], cmsgpack.pack(left))
    else
      addressed_delete(base, one[GONE.address])
    end
    local is_of_mail = one[GONE.kind] < 3
    if one[GONE.list] ~= '' and is_of_mail then members_return(KEYS[3], one[GONE.list], one[GONE.address]) end
    local told = ARGV[2 + i]
    if told ~= '' then redis.call('XADD', KEYS[1], '*', 't', 'Reactivated', 'v', ARGV[1], 'b', told) end
  end
  answers[i] = gone
end
return answers
