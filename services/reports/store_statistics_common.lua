-- Begins the script that counts facts: what they add to statistics, hour by hour (`services.reports.cells`). Facts are
-- added up by cell while they are counted; `statistics.write` puts each number away once, at the end.
--
-- Of a job      a hash: `h` hour (3 bytes) code · `p` code provider source · `d` code detail → how many
-- Of a tenant   a hash a day: `h` group (2) hour of the day code · `p` group code provider source · `d` group code
--               detail · `P` hour code provider · `S` hour code source → how many; `g` and a group's words → its number

local statistics = {cells = {}, groups = {}, days = {}, ids = {}, classes = {}, keep_ms = 0}
local UNIQUE, RAW = 64, 128
local S_DELIVERED, S_DEFERRED, S_OPENED, S_MACHINE_OPENED, S_CLICKED, S_MACHINE_CLICKED = 4, 5, 13, 18, 14, 19
local S_DOCUMENT, S_MACHINE_DOCUMENT, DELIVERED_STATE = 26, 27, 2
-- Person and machine, each with the code, the bitmap and the code of the other.
local SEEN = {
  [S_OPENED] = {S_OPENED, 'machine_opens'}, [S_MACHINE_OPENED] = {S_OPENED, 'opens'},
  [S_CLICKED] = {S_CLICKED, 'machine_clicks'}, [S_MACHINE_CLICKED] = {S_CLICKED, 'clicks'},
  [S_DOCUMENT] = {S_DOCUMENT, 'machine_documents'}, [S_MACHINE_DOCUMENT] = {S_DOCUMENT, 'documents'},
}
-- Unsubscribed, complained, replied by a machine, and deferred: how often, and by how many messages.
local TOLD = {[15] = true, [16] = true, [17] = true, [S_DEFERRED] = true}
local LATE_BOUNCED = {[9] = true, [10] = true, [11] = true}

-- `packed`: how long statistics are kept (ms; 0: there are none), how many names of a kind, and groups, the names and
-- the cells of the batch, and the fields of a job: tenant, stream, from, list, category, tags, whether it is a test.
function statistics.begin(packed)
  local most, names
  local told = cmsgpack.unpack(packed)
  statistics.keep_ms, most, statistics.most_groups, names, statistics.classes = unpack(told)
  statistics.fields = told[6]
  if #names == 0 then return end
  local found = redis.call('HMGET', KEYS[2], unpack(names))
  for at, name in ipairs(names) do
    local number = tonumber(found[at] or nil)
    if not number then
      local kind = '#' .. string.sub(name, 1, 1)
      if tonumber(redis.call('HGET', KEYS[2], kind) or 0) >= most then
        number = 255
      else
        number = redis.call('HINCRBY', KEYS[2], kind, 1)
        redis.call('HSET', KEYS[2], name, number)
      end
    end
    statistics.ids[at] = number
  end
end

-- Whether the job is there; of its words is made the group that it counts in.
function statistics.know(job)
  if statistics.keep_ms == 0 then return redis.call('EXISTS', KEYS[job]) == 1 end
  local of = redis.call('HMGET', KEYS[job], unpack(statistics.fields))
  if not of[1] then return redis.call('EXISTS', KEYS[job]) == 1 end
  if of[7] ~= '1' then
    local domain = string.match(of[3] or '', '@([^@<>%s]+)>?%s*$') or ''
    local words = {of[2] or '', string.lower(domain), of[4] or '', of[5] or '', of[6] or ''}
    statistics.groups[job] = table.concat(words, '\0')
  end
  return true
end

-- The cell as a number: hour, provider, source and detail; a byte each but for the first.
function statistics.cell(job, ordinal, class)
  if class == 0 or statistics.keep_ms == 0 then return nil end
  local hour, code, provider, source, detail = unpack(statistics.classes[class])
  local ids = statistics.ids
  local by, from = ids[provider] or 0, ids[source] or 0
  if by == 0 and from == 0 then
    by, from = string.byte(redis.call('GETRANGE', KEYS[job + 6], ordinal * 2, ordinal * 2 + 1), 1, 2)
  elseif code == S_DELIVERED then
    redis.call('SETRANGE', KEYS[job + 6], ordinal * 2, string.char(by, from))
  end
  return ((hour * 256 + (by or 0)) * 256 + (from or 0)) * 256 + (ids[detail] or 0), code
end

function statistics.add(job, cell, code, number)
  if not cell then return end
  local cells = statistics.cells[job]
  if not cells then
    cells = {}
    statistics.cells[job] = cells
  end
  local key = cell * 256 + code
  cells[key] = (cells[key] or 0) + number
end

local function is_set(job, name, ordinal)
  return redis.call('GETBIT', KEYS[job + 3] .. name, ordinal) == 1
end

-- A fact that was counted. `first`: of its message and kind; `before` and `after`: the message's byte; `implied`: what
-- the opening that a click implies became by it: `set`, `taken` back, or nil.
function statistics.count(job, ordinal, cell, code, first, before, after, implied)
  local add, seen = statistics.add, SEEN[code]
  if not seen and not TOLD[code] then
    if before == after then return end
    add(job, cell, code, 1)
    if LATE_BOUNCED[code] and before % 128 ~= DELIVERED_STATE then add(job, cell, S_DELIVERED, 1) end
    return
  end
  if implied == 'taken' then return end  -- this opening was counted with the click that implied it
  add(job, cell, code, 1)
  if first then add(job, cell, code + UNIQUE, 1) end
  if first and seen and not is_set(job, seen[2], ordinal) then
    if code ~= S_MACHINE_OPENED or not is_set(job, 'implied_opens', ordinal) then add(job, cell, seen[1] + RAW, 1) end
  end
  if implied == 'set' then
    add(job, cell, S_OPENED, 1)
    add(job, cell, S_OPENED + UNIQUE, 1)
    if not is_set(job, 'machine_opens', ordinal) then add(job, cell, S_OPENED + RAW, 1) end
  end
end

-- What is kept beside the clicks of a message that may be judged: six bytes of a cell for each; before them, those of
-- the first click, of the first document, and of what implied an opening.
local NONE = string.rep('\255', 6)

local function cell_in(text, at)
  local packed = string.sub(text, at * 6 + 1, at * 6 + 6)
  if #packed < 6 or packed == NONE then return nil end
  return (struct.unpack('>I6', packed))
end

function statistics.kept(text, clicks)
  text = text or ''
  local firsts = {}
  for at = 1, 3 do firsts[at] = cell_in(text, at - 1) end
  for at, click in ipairs(clicks) do click.cell = cell_in(text, at + 2) end
  return firsts
end

function statistics.to_keep(firsts, clicks, from)
  local parts = {}
  for at = 1, 3 do parts[at] = firsts[at] and struct.pack('>I6', firsts[at]) or NONE end
  for at = from, #clicks do parts[#parts + 1] = clicks[at].cell and struct.pack('>I6', clicks[at].cell) or NONE end
  return table.concat(parts)
end

-- A click, or the opening of a document, that was counted as a person's is a machine's. `changed` has what became of
-- the bits of its message: `machine` set, `person` and `implied` cleared.
function statistics.unclick(job, ordinal, firsts, click, is_document, changed)
  local add, person, machine = statistics.add, S_CLICKED, S_MACHINE_CLICKED
  if is_document then person, machine = S_DOCUMENT, S_MACHINE_DOCUMENT end
  add(job, click.cell, person, -1)
  add(job, click.cell, machine, 1)
  if changed.machine then add(job, click.cell, machine + UNIQUE, 1) end
  local place = is_document and 2 or 1
  if changed.person then
    add(job, firsts[place], person + UNIQUE, -1)
    firsts[place] = nil
  end
  if changed.implied then
    add(job, firsts[3], S_OPENED, -1)
    add(job, firsts[3], S_OPENED + UNIQUE, -1)
    if not is_set(job, 'machine_opens', ordinal) then add(job, firsts[3], S_OPENED + RAW, -1) end
    firsts[3] = nil
  end
end

local function bump(numbers, key, number) numbers[key] = (numbers[key] or 0) + number end

-- The numbers of a job by hour: by code alone, and with each of what tells facts apart.
local function by_hour(cells)
  local hours = {}
  for key, number in pairs(cells) do
    local code, rest = key % 256, math.floor(key / 256)
    local detail, source, provider = rest % 256, math.floor(rest / 256) % 256, math.floor(rest / 65536) % 256
    local hour = math.floor(rest / 16777216)
    local sums = hours[hour]
    if not sums then
      sums = {codes = {}, places = {}, details = {}}
      hours[hour] = sums
    end
    bump(sums.codes, code, number)
    if provider + source > 0 then bump(sums.places, (code * 256 + provider) * 256 + source, number) end
    if detail > 0 then bump(sums.details, code * 256 + detail, number) end
  end
  return hours
end

local function group_of(key, words)
  local known = redis.call('HGET', key, 'g' .. words)
  if not known then
    known = redis.call('HINCRBY', key, '#', 1)
    if known > statistics.most_groups then known = 65535 else redis.call('HSET', key, 'g' .. words, known) end
  end
  return struct.pack('>I2', tonumber(known))
end

local function day_of(job, hour)
  local key = KEYS[job + 7] .. math.floor(hour / 24)
  local day = statistics.days[key]
  if not day then
    day = {numbers = {}, groups = {}, until_ms = (math.floor(hour / 24) + 1) * 86400000 + statistics.keep_ms}
    statistics.days[key] = day
  end
  local words = statistics.groups[job]
  if not day.groups[words] then day.groups[words] = group_of(key, words) end
  return day.numbers, day.groups[words]
end

local function raise(key, field, number)
  if number ~= 0 then redis.call('HINCRBY', KEYS[key] or key, field, number) end
end

local function write_hour(job, hour, sums)
  local own, char = job + 5, string.char
  local packed = struct.pack('>I3', hour)
  local numbers, group
  if statistics.groups[job] then numbers, group = day_of(job, hour) end
  local at = char(hour % 24)
  for code, number in pairs(sums.codes) do
    raise(own, 'h' .. packed .. char(code), number)
    if numbers then bump(numbers, 'h' .. group .. at .. char(code), number) end
  end
  for key, number in pairs(sums.places) do
    local code, provider, source = char(math.floor(key / 65536)), char(math.floor(key / 256) % 256), char(key % 256)
    raise(own, 'p' .. code .. provider .. source, number)
    if numbers then
      bump(numbers, 'p' .. group .. code .. provider .. source, number)
      bump(numbers, 'P' .. at .. code .. provider, number)
      bump(numbers, 'S' .. at .. code .. source, number)
    end
  end
  for key, number in pairs(sums.details) do
    local code, detail = char(math.floor(key / 256)), char(key % 256)
    raise(own, 'd' .. code .. detail, number)
    if numbers then bump(numbers, 'd' .. group .. code .. detail, number) end
  end
end

function statistics.write()
  for job, cells in pairs(statistics.cells) do
    for hour, sums in pairs(by_hour(cells)) do write_hour(job, hour, sums) end
  end
  for key, day in pairs(statistics.days) do
    for field, number in pairs(day.numbers) do raise(key, field, number) end
    redis.call('PEXPIREAT', key, string.format('%d', day.until_ms))
  end
end

