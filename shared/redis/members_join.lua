-- Puts addresses on a list. Whoever has an entry of the list on the suppression list stays off: they left since the
-- tenant asked, or somebody else than they says so.
--
-- KEYS     the tenant's lists, map of the suppression list
-- ARGV     the list, the time, the kind of an entry for one list (`shared.words.scopes`), the addresses
-- Answers  for each: 1 they joined, 0 they were on it, -1 they stay off

local list, now, answers = ARGV[1], tonumber(ARGV[2]), {}

local function is_off(address)
  local packed = addressed_get(KEYS[2], address)
  for _, entry in ipairs(packed and cmsgpack.unpack(packed) or {}) do
    local expires = entry[ENTRY.expires_ms]
    local is_over = expires > 0 and expires <= now
    if entry[ENTRY.kind] == tonumber(ARGV[3]) and entry[ENTRY.list] == list and not is_over then return true end
  end
end

for i = 4, #ARGV do
  if is_off(ARGV[i]) then
    answers[#answers + 1] = -1
  else
    answers[#answers + 1] = members_join(KEYS[1], list, ARGV[i], ARGV[2]) and 1 or 0
  end
end
return answers
