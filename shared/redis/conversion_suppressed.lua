-- Takes some addresses of a suppression list of schema 1 to the map of their entries, in one step.
--
-- An old record is an array: reason, ms since the epoch, event, job, ordinal, diagnostic. An address with an entry of
-- that place already was listed since: it keeps that.
--
-- KEYS     old index, old list, map of the entries, map of what is known of them
-- ARGV     how many at most, ms for which the old list stays, then of each reason its kind and its strength now
-- Answers  how many there were, 0 at the end

local kinds, strengths = {}, {}
for i = 3, #ARGV, 3 do kinds[ARGV[i]], strengths[ARGV[i]] = tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2]) end

local function add(base, address, value, kind_at)
  local packed = addressed_get(base, address)
  local all = packed and cmsgpack.unpack(packed) or {}
  for _, one in ipairs(all) do
    if one[kind_at] == value[kind_at] then return end
  end
  all[#all + 1] = value
  addressed_set(base, address, cmsgpack.pack(all))
end

local found = redis.call('ZRANGE', KEYS[1], 0, ARGV[1] - 1)
for _, address in ipairs(found) do
  local packed = redis.call('HGET', KEYS[2], address)
  local record = packed and cmsgpack.unpack(packed)
  if record and kinds[record[1]] then
    local kind, event, job, ordinal, diagnostic = kinds[record[1]], record[3], record[4], record[5], record[6]
    local is_event = job ~= nil and job ~= ''
    local entry = {}
    entry[ENTRY.kind], entry[ENTRY.strength], entry[ENTRY.origin] = kind, strengths[record[1]], is_event and 0 or 1
    entry[ENTRY.first_ms], entry[ENTRY.lasted_ms], entry[ENTRY.expires_ms], entry[ENTRY.list] = record[2], 0, 0, ''
    add(KEYS[3], address, entry, ENTRY.kind)
    if is_event or (diagnostic and diagnostic ~= '') then
      local said = {}
      said[SAID.kind], said[SAID.list], said[SAID.event] = kind, '', is_event and event or ''
      said[SAID.job], said[SAID.ordinal], said[SAID.diagnostic] = job or '', ordinal or -1, diagnostic or ''
      add(KEYS[4], address, said, SAID.kind)
    end
  end
end
if #found == 0 then
  redis.call('PEXPIRE', KEYS[2], ARGV[2])
  return 0
end
redis.call('ZREM', KEYS[1], unpack(found))
return #found
