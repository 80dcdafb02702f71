-- Counts facts and acknowledges them in one step: an entry that is read again, because a reader died or its answer was
-- lost, is in the group's hand no more, and counts nothing. A fact that was published twice is found by its record.
--
-- KEYS     events, then what the entries point at (from 1)
-- ARGV     group, transitions, codes to a state, bytes of a record, of its needle, most alike, lifetime of remembered
--          ids, the entries as one msgpack list, then event id and record of each (they are bytes, which the cmsgpack
--          of Redis does not read). An entry is [stream id, job (its hash; states and counts are the two keys after it;
--          0: nothing to count), ordinal, code, timeline, remembered ids, counters], a counter two elements: bitmap and
--          name
-- Answers  how many were counted, repeated, and of no job that is kept

local group, transitions, codes = ARGV[1], ARGV[2], tonumber(ARGV[3])
local record_bytes, needle_bytes, most_alike = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local exists, timelines, written, deltas = {}, {}, {}, {}
local counted, repeated, orphaned = 0, 0, 0

local function add(job, name, number)
  if not deltas[job] then deltas[job] = {} end
  deltas[job][name] = (deltas[job][name] or 0) + number
end

local function has(records, needle)
  local at = 0
  repeat at = string.find(records, needle, at + 1, true) until not at or at % record_bytes == 1
  return at
end

local function alike(records, needle)
  local place, kind = string.byte(needle, -2, -1)
  local number = 0
  for at = needle_bytes - 1, #records, record_bytes do
    local other, its_kind = string.byte(records, at, at + 1)
    if other == place and its_kind == kind then number = number + 1 end
  end
  return number
end

local function is_new(record, place, event, remembered)
  local records = timelines[place]
  if not records then records = redis.call('GET', KEYS[place]) or '' end
  timelines[place] = records
  local needle = string.sub(record, 1, needle_bytes)
  if has(records, needle) then return false end
  if #records >= most_alike * record_bytes and alike(records, needle) >= most_alike then
    local fresh = redis.call('SADD', KEYS[remembered], event) == 1
    redis.call('PEXPIRE', KEYS[remembered], ARGV[7])
    return fresh
  end
  timelines[place] = records .. record
  written[place] = true
  return true
end

local function move(job, ordinal, code)
  local byte = string.byte(redis.call('GETRANGE', KEYS[job + 1], ordinal, ordinal)) or 0
  local after = byte
  if code == 1 then
    if byte < 128 then after = byte + 128 end
  else
    local state = byte % 128
    after = byte - state + string.byte(transitions, state * codes + code + 1)
  end
  if after ~= byte then
    redis.call('SETRANGE', KEYS[job + 1], ordinal, string.char(after))
    if byte > 0 then add(job, 'state:' .. byte, -1) end
    add(job, 'state:' .. after, 1)
  end
end

for number, entry in ipairs(cmsgpack.unpack(ARGV[8])) do
  local id, job, ordinal, code, place, remembered, counters = unpack(entry)
  local event, record = ARGV[7 + number * 2], ARGV[8 + number * 2]
  if redis.call('XACK', KEYS[1], group, id) == 1 and job > 0 then
    if exists[job] == nil then exists[job] = redis.call('EXISTS', KEYS[job]) == 1 end
    if not exists[job] then
      orphaned = orphaned + 1
    elseif not is_new(record, place, event, remembered) then
      repeated = repeated + 1
    else
      counted = counted + 1
      move(job, ordinal, code)
      for i = 1, #counters, 2 do
        add(job, counters[i + 1] .. ':total', 1)
        if redis.call('SETBIT', KEYS[counters[i]], ordinal, 1) == 0 then
          add(job, counters[i + 1] .. ':unique', 1)
        end
      end
    end
  end
end
for place in pairs(written) do redis.call('SET', KEYS[place], timelines[place]) end
for job, names in pairs(deltas) do
  for name, number in pairs(names) do redis.call('HINCRBY', KEYS[job + 2], name, number) end
end
return {counted, repeated, orphaned}
