-- Lists addresses and tells of each that is new, in one step: what is told is what happened. Each fact is applied once.
--
-- An address has one entry for each channel and scope: for the stronger reason, from the first time to the last, and
-- for no shorter time than either. What is known of it is of the stronger, but the diagnostic is the last. What has
-- expired is as if it were not there, and goes with the next change. (`shared.words.scopes.merged` says the same.)
--
-- Who enters for one list has left it, if they were on it (`shared.redis.members`).
--
-- KEYS     events, map of the entries, map of what is known of them, the tenant's lists, marks of facts
-- ARGV     lifetime of a mark, version of the event, the additions (msgpack), then of each the event, '' for none
-- Answers  for each: 1 it is new for that channel and scope, 0 it was there, -1 this fact was applied before

local base, known_of, answers = KEYS[2], KEYS[3], {}
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

local function has_expired(entry)
  return entry[ENTRY.expires_ms] > 0 and entry[ENTRY.expires_ms] <= now
end

-- The place of what is of that channel and scope.
local function place_of(all, kind, list, kind_at, list_at)
  for i, one in ipairs(all) do
    if one[kind_at] == kind and one[list_at] == list then return i end
  end
end

local function merge(old, new)
  local last = math.max(
    old[ENTRY.first_ms] + old[ENTRY.lasted_ms], new[ENTRY.first_ms] + new[ENTRY.lasted_ms])
  old[ENTRY.first_ms] = math.min(old[ENTRY.first_ms], new[ENTRY.first_ms])
  old[ENTRY.lasted_ms] = last - old[ENTRY.first_ms]
  local is_limited = old[ENTRY.expires_ms] > 0 and new[ENTRY.expires_ms] > 0
  old[ENTRY.expires_ms] = is_limited and math.max(old[ENTRY.expires_ms], new[ENTRY.expires_ms]) or 0
  if new[ENTRY.strength] <= old[ENTRY.strength] then return false end
  old[ENTRY.strength], old[ENTRY.origin] = new[ENTRY.strength], new[ENTRY.origin]
  return true
end

-- What is known of an entry, of those of the address: of the one that holds now.
local function note(address, entry, words, holds)
  local packed = addressed_get(known_of, address)
  if not packed and not words then return end
  local all = packed and cmsgpack.unpack(packed) or {}
  local at = place_of(all, entry[ENTRY.kind], entry[ENTRY.list], SAID.kind, SAID.list)
  local diagnostic = words and words[SAID.diagnostic] or ''
  if diagnostic == '' and at then diagnostic = all[at][SAID.diagnostic] end
  if holds then
    words = words or {entry[ENTRY.kind], entry[ENTRY.list], '', '', -1, ''}
  else
    words = at and all[at] or words and {entry[ENTRY.kind], entry[ENTRY.list], '', '', -1, ''}
  end
  if not words then return end
  words[SAID.diagnostic] = diagnostic
  all[at or #all + 1] = words
  addressed_set(known_of, address, cmsgpack.pack(all))
end

local function add(one, told)
  local address, new, words = one[ADDED.address], one[ADDED.entry], one[ADDED.said]
  local packed = addressed_get(base, address)
  local alive, at = {}, nil
  for _, entry in ipairs(packed and cmsgpack.unpack(packed) or {}) do
    if not has_expired(entry) then alive[#alive + 1] = entry end
  end
  if has_expired(new) then return 0 end
  at = place_of(alive, new[ENTRY.kind], new[ENTRY.list], ENTRY.kind, ENTRY.list)
  local holds = true
  if at then holds = merge(alive[at], new) else alive[#alive + 1] = new end
  addressed_set(base, address, cmsgpack.pack(alive))
  note(address, new, words, holds)
  local is_of_mail = new[ENTRY.kind] < 3  -- the first channel: lists are of those who are written to
  if new[ENTRY.list] ~= '' and is_of_mail then
    members_leave(KEYS[4], new[ENTRY.list], address, string.format('%.0f', new[ENTRY.first_ms]))
  end
  if at then return 0 end
  if told ~= '' then redis.call('XADD', KEYS[1], '*', 't', 'Suppressed', 'v', ARGV[2], 'b', told) end
  return 1
end

for i, one in ipairs(cmsgpack.unpack(ARGV[3])) do
  local mark = one[ADDED.mark]
  if mark > 0 and not redis.call('SET', KEYS[4 + mark], '1', 'NX', 'PX', ARGV[1]) then
    answers[i] = -1
  else
    answers[i] = add(one, ARGV[3 + i])
  end
end
return answers
