-- Counts facts and acknowledges them in one step: an entry that is read again, because a reader died or its answer was
-- lost, is in the group's hand no more, and counts nothing. A fact that was published twice is found by its record.
--
-- Clicks are judged again by what is known of their message: those that came too soon after its delivery, and those of
-- a burst over its links, are a machine's (`services.reports.late`). The clicks of the last minutes are kept for that,
-- 13 bytes each: the event as in its record (5), position (2), time (5), and 1 if it was the first there, 2 if it is a
-- machine's; 4 more for a document, which is judged as a link is, and has counters of its own.
--
-- What it counts in statistics, and how, says the script that it goes on from (`store_statistics_common.lua`).
--
-- KEYS     events, names in statistics, statistics that wait to be put away, jobs that may have ended, then what the
--          entries point at (from 1)
-- ARGV     group, transitions, codes to a state, bytes of a record, of its needle, most alike, lifetime of remembered
--          ids, the entries as one msgpack list, ms after the delivery, links and ms of a burst (0: not judged by it),
--          ms that clicks are kept for, position of traps, what statistics are made of, then event id and record of
--          each (they are bytes, which the cmsgpack of Redis does not read). An entry is [stream id, job (its hash;
--          after it states, counts, what the names of its bitmaps begin with, kept clicks, places of its messages;
--          0: nothing to count), ordinal, code, timeline, remembered ids, counters, position, amounts, cell], a counter
--          two elements: bitmap and name; an amount its name and how much
-- Answers  how many were counted, repeated, and of no job that is kept, and how many clicks were judged anew

local group, transitions, codes = ARGV[1], ARGV[2], tonumber(ARGV[3])
local record_bytes, needle_bytes, most_alike = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local soon_ms, burst_links, burst_ms, keep_ms = tonumber(ARGV[9]), tonumber(ARGV[10]), tonumber(ARGV[11]), ARGV[12]
local trap = tonumber(ARGV[13])
-- As `services.reports.state.Code` has them.
local DELIVERED, OPENED, CLICKED, MACHINE_CLICKED, SOON_CLICKED, BURST_CLICKED = 4, 13, 14, 19, 22, 23
local DOCUMENT_OPENED, SOON_DOCUMENT_OPENED, BURST_DOCUMENT_OPENED, OTHER_DOCUMENT_OPENED = 26, 28, 29, 30
-- What is judged: the codes that it may get, and its counters, at all and by position.
local CLICKS, DOCUMENTS = {}, {}
CLICKS.soon, CLICKS.burst, CLICKS.every, CLICKS.one = SOON_CLICKED, BURST_CLICKED, 'clicks', 'click-'
DOCUMENTS.soon, DOCUMENTS.burst = SOON_DOCUMENT_OPENED, BURST_DOCUMENT_OPENED
DOCUMENTS.every, DOCUMENTS.one = 'documents', 'document-'
-- As `shared.words.standing.State` has it: those up to it are no ends.
local DEFERRED = 1
local JUDGED = {[CLICKED] = CLICKS, [DOCUMENT_OPENED] = DOCUMENTS}
local MOST_KEPT = 16
-- Numbers that a command gets are written out with 17 digits, in half a microsecond each: those of every fact, an
-- ordinal and a bit, come as text.
local BITS = {[0] = '0', [1] = '1'}
local exists, timelines, written, deltas, kept, ended = {}, {}, {}, {}, {}, {}
local counted, repeated, orphaned, judged = 0, 0, 0, 0

local function add(job, name, number)
  if not deltas[job] then deltas[job] = {} end
  deltas[job][name] = (deltas[job][name] or 0) + number
end

local function has(records, needle, first)
  local at = 0
  repeat at = string.find(records, needle, at + 1, true) until not at or at % record_bytes == (first or 1)
  return at
end

-- A click that was judged anew has another code in its record.
local function is_there(records, needle, code)
  if has(records, needle) then return true end
  local anew = JUDGED[code]
  if not anew then return false end
  local event = string.sub(needle, 1, -2)
  return has(records, event .. string.char(anew.soon)) or has(records, event .. string.char(anew.burst))
end

local function alike(records, needle)
  local place_and_kind, number, at = string.sub(needle, -2), 0, 0
  repeat
    at = string.find(records, place_and_kind, at + 1, true)
    if at and at % record_bytes == needle_bytes - 1 then number = number + 1 end
  until not at
  return number
end

local function is_new(record, place, event, remembered, code)
  local records = timelines[place]
  if not records then records = redis.call('GET', KEYS[place]) or '' end
  timelines[place] = records
  local needle = string.sub(record, 1, needle_bytes)
  if is_there(records, needle, code) then return false end
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
    if byte % 128 <= DEFERRED and after % 128 > DEFERRED then ended[job] = true end
  end
  return byte, after
end

local function bits(job, name, ordinal, bit)
  return redis.call('SETBIT', KEYS[job + 3] .. name, ordinal, bit)
end

-- Whether it was another.
local function unique(job, name, ordinal, bit)
  if bits(job, name, ordinal, BITS[bit]) == bit then return false end
  add(job, name .. ':unique', bit * 2 - 1)
  return true
end

local function number_of(text)
  local number = 0
  for at = 1, #text do number = number * 256 + string.byte(text, at) end
  return number
end

-- What was counted as a person's click is counted as a machine's.
local function unclick(job, ordinal, place, who, click, why, firsts)
  local names, changed = JUDGED[click.code], {}
  local at = has(timelines[place], click.event .. who .. string.char(click.code))
  if at then
    local records = timelines[place]
    timelines[place] = string.sub(records, 1, at + 5) .. string.char(names[why]) .. string.sub(records, at + 7)
    written[place] = true
  end
  for _, name in ipairs({names.every, names.one .. click.position}) do
    add(job, name .. ':total', -1)
    add(job, 'machine_' .. name .. ':total', 1)
    local is_new = unique(job, 'machine_' .. name, ordinal, 1)
    if name == names.every then changed.machine = is_new end
  end
  if click.flags == 1 then unique(job, names.one .. click.position, ordinal, 0) end
  local clicked = has(timelines[place], who .. string.char(CLICKED), 6)
  local opened = has(timelines[place], who .. string.char(DOCUMENT_OPENED), 6)
  if click.code == CLICKED and not clicked then changed.person = unique(job, 'clicks', ordinal, 0) end
  local other = has(timelines[place], who .. string.char(OTHER_DOCUMENT_OPENED), 6)
  if click.code == DOCUMENT_OPENED and not opened and not other then
    changed.person = unique(job, 'documents', ordinal, 0)
  end
  if not clicked and not opened then changed.implied = unique(job, 'implied_opens', ordinal, 0) end
  statistics.unclick(job, ordinal, firsts, click, click.code == DOCUMENT_OPENED, changed)
  click.flags = 2
  judged = judged + 1
end

-- The first one at a position that is left has the bit of it.
local function hand_on(clicks, click)
  if click.flags ~= 1 then return end
  for _, other in ipairs(clicks) do
    if other ~= click and other.code == click.code and other.flags == 0 and other.position == click.position then
      other.flags, click.flags = 1, 0
      return
    end
  end
end

local function clicks_of(text)
  local clicks = {}
  for at = 1, #text, 13 do
    local click = {}
    local flags = string.byte(text, at + 12)
    click.packed, click.flags = string.sub(text, at, at + 11), flags % 4
    click.code = flags < 4 and CLICKED or DOCUMENT_OPENED
    click.event, click.time = string.sub(text, at, at + 4), number_of(string.sub(text, at + 7, at + 11))
    click.position = number_of(string.sub(text, at + 5, at + 6))
    clicks[#clicks + 1] = click
  end
  return clicks
end

local function text_of(clicks)
  local parts = {}
  for at = math.max(1, #clicks - MOST_KEPT + 1), #clicks do
    local flags = clicks[at].flags + (clicks[at].code == CLICKED and 0 or 4)
    parts[#parts + 1] = clicks[at].packed .. string.char(flags)
  end
  return table.concat(parts)
end

local function burst_of(clicks, latest)
  local found, positions, number, is_trapped = {}, {}, 0, false
  for _, click in ipairs(clicks) do
    if math.abs(click.time - latest.time) <= burst_ms then
      found[#found + 1] = click
      if not positions[click.position] then number = number + 1 end
      positions[click.position] = true
      is_trapped = is_trapped or click.position == trap
    end
  end
  if is_trapped or number >= burst_links then return found end
  return {}
end

-- What was just counted: a click at that position, which is kept, or, without one, the delivery. `cell` is its place in
-- statistics, and `first` whether it is the first of its message and kind, `implied` whether it implied an opening.
local function judge(job, ordinal, place, record, position, flags, cell, first, implied)
  local who = string.sub(record, 6, 6)
  local known = redis.call('HMGET', KEYS[job + 4], ordinal, 's' .. ordinal)
  local clicks = clicks_of(known[1] or '')
  local firsts = statistics.kept(known[2], clicks)
  local latest
  if position then
    local packed = string.sub(record, 1, 5) .. string.char(math.floor(position / 256), position % 256)
    latest = clicks_of(packed .. string.sub(record, 16, 20) .. string.char(flags))[1]
    latest.cell = cell
    clicks[#clicks + 1] = latest
    if first then firsts[latest.code == CLICKED and 1 or 2] = cell end
    if implied then firsts[3] = cell end
  end
  local delivered = soon_ms > 0 and has(timelines[place], who .. string.char(DELIVERED), 6)
  if delivered then
    local until_ms = number_of(string.sub(timelines[place], delivered + 10, delivered + 14)) + soon_ms
    for _, click in ipairs(clicks) do
      if click.flags ~= 2 and click.time < until_ms then
        hand_on(clicks, click)
        unclick(job, ordinal, place, who, click, 'soon', firsts)
      end
    end
  end
  if latest and burst_links > 0 then
    for _, click in ipairs(burst_of(clicks, latest)) do
      if click.flags ~= 2 then
        hand_on(clicks, click)
        unclick(job, ordinal, place, who, click, 'burst', firsts)
      end
    end
  end
  local kept_from = math.max(1, #clicks - MOST_KEPT + 1)
  local cells = statistics.to_keep(firsts, clicks, kept_from)
  redis.call('HSET', KEYS[job + 4], ordinal, text_of(clicks), 's' .. ordinal, cells)
  kept[job] = true
end

-- A click by a person without an opening implies one, which is taken back when the opening is told: `set` or `taken`.
local function imply(job, ordinal, code, is_first)
  if JUDGED[code] and redis.call('GETBIT', KEYS[job + 3] .. 'opens', ordinal) == 0 then
    if unique(job, 'implied_opens', ordinal, 1) then return 'set' end
  elseif code == OPENED and is_first and redis.call('GETBIT', KEYS[job + 3] .. 'implied_opens', ordinal) == 1 then
    unique(job, 'implied_opens', ordinal, 0)
    return 'taken'
  end
end

local function is_followed(records, who)
  return has(records, who .. string.char(CLICKED), 6) or has(records, who .. string.char(DOCUMENT_OPENED), 6)
end

local function consider(job, ordinal, code, place, record, position, is_first_there, cell, first, implied)
  if soon_ms == 0 and burst_links == 0 then return end
  if code == CLICKED then
    judge(job, ordinal, place, record, position, is_first_there and 1 or 0, cell, first, implied)
  elseif code == DOCUMENT_OPENED then
    judge(job, ordinal, place, record, position, is_first_there and 5 or 4, cell, first, implied)
  elseif code == MACHINE_CLICKED and position == trap then
    judge(job, ordinal, place, record, position, 2, cell)
  elseif code == DELIVERED and is_followed(timelines[place], string.sub(record, 6, 6)) then
    judge(job, ordinal, place, record)
  end
end

statistics.begin(ARGV[14])
for number, entry in ipairs(cmsgpack.unpack(ARGV[8])) do
  local id, job, ordinal, code, place, remembered, counters, position, amounts, class = unpack(entry)
  local event, record = ARGV[13 + number * 2], ARGV[14 + number * 2]
  if redis.call('XACK', KEYS[1], group, id) == 1 and job > 0 then
    if exists[job] == nil then exists[job] = redis.call('EXISTS', KEYS[job]) == 1 end
    if not exists[job] then
      orphaned = orphaned + 1
    elseif not is_new(record, place, event, remembered, code) then
      repeated = repeated + 1
    else
      counted = counted + 1
      local before, after = move(job, ordinal, code)
      local is_first, first = false, false
      for i = 1, #counters, 2 do
        add(job, counters[i + 1] .. ':total', 1)
        is_first = redis.call('SETBIT', KEYS[counters[i]], ordinal, '1') == 0
        if is_first then add(job, counters[i + 1] .. ':unique', 1) end
        if i == 1 then first = is_first end
      end
      for i = 1, #amounts, 2 do add(job, amounts[i], amounts[i + 1]) end
      local implied = imply(job, ordinal, code, is_first)
      local cell, counted_as = statistics.cell(job, ordinal, class)
      if cell then statistics.count(job, ordinal, cell, counted_as, first, before, after, implied) end
      consider(job, ordinal, code, place, record, position, is_first, cell, first, implied == 'set')
    end
  end
end
for place in pairs(written) do redis.call('SET', KEYS[place], timelines[place]) end
for job, names in pairs(deltas) do
  for name, number in pairs(names) do redis.call('HINCRBY', KEYS[job + 2], name, number) end
end
for job in pairs(ended) do redis.call('ZINCRBY', KEYS[4], 1, string.match(KEYS[job], '[^:]+$')) end
statistics.write()
for job in pairs(kept) do redis.call('PEXPIRE', KEYS[job + 4], keep_ms) end
return {counted, repeated, orphaned, judged}
