-- Begins the script that counts facts: what they add to statistics, hour by hour (`services.reports.cells`). Facts are
-- added up by cell while they are counted, and what a batch adds up to is put away at its end.

local statistics = {}
statistics.cells, statistics.ids, statistics.classes, statistics.is_on = {}, {}, {}, false
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
local TOLD = {[15] = true, [16] = true, [17] = true, [35] = true, [S_DEFERRED] = true}
local LATE_BOUNCED = {[9] = true, [10] = true, [11] = true}

-- `packed`: whether there are statistics, how many names of a kind, and the names and the cells of the batch.
statistics.begin = function(packed)
  local most, names
  statistics.is_on, most, names, statistics.classes = unpack(cmsgpack.unpack(packed))
  if not statistics.is_on or #names == 0 then return end
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

-- The cell as a number: hour, provider, source and detail; a byte each but for the first.
statistics.cell = function(job, ordinal, class)
  if class == 0 or not statistics.is_on then return nil end
  local hour, code, provider, source, detail = unpack(statistics.classes[class])
  local ids = statistics.ids
  local by, from = ids[provider] or 0, ids[source] or 0
  if by == 0 and from == 0 then
    by, from = string.byte(redis.call('GETRANGE', KEYS[job + 5], ordinal * 2, ordinal * 2 + 1), 1, 2)
  elseif code == S_DELIVERED then
    redis.call('SETRANGE', KEYS[job + 5], ordinal * 2, string.char(by, from))
  end
  return ((hour * 256 + (by or 0)) * 256 + (from or 0)) * 256 + (ids[detail] or 0), code
end

statistics.add = function(job, cell, code, number)
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
statistics.count = function(job, ordinal, cell, code, first, before, after, implied)
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

statistics.kept = function(text, clicks)
  text = text or ''
  local firsts = {}
  for at = 1, 3 do firsts[at] = cell_in(text, at - 1) end
  for at, click in ipairs(clicks) do click.cell = cell_in(text, at + 2) end
  return firsts
end

statistics.to_keep = function(firsts, clicks, from)
  local parts = {}
  for at = 1, 3 do parts[at] = firsts[at] and struct.pack('>I6', firsts[at]) or NONE end
  for at = from, #clicks do parts[#parts + 1] = clicks[at].cell and struct.pack('>I6', clicks[at].cell) or NONE end
  return table.concat(parts)
end

-- A click, or the opening of a document, that was counted as a person's is a machine's. `changed` has what became of
-- the bits of its message: `machine` set, `person` and `implied` cleared.
statistics.unclick = function(job, ordinal, firsts, click, is_document, changed)
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

-- What the batch adds up to waits to be put away with that of others (`services.reports.folding`): of each job its key,
-- and each number under cell * 256 + code.
statistics.write = function()
  local packed = {}
  for job, cells in pairs(statistics.cells) do
    local numbers = {}
    for key, number in pairs(cells) do
      if number ~= 0 then
        numbers[#numbers + 1] = key
        numbers[#numbers + 1] = number
      end
    end
    packed[#packed + 1] = KEYS[job]
    packed[#packed + 1] = numbers
  end
  if #packed > 0 then redis.call('RPUSH', KEYS[3], cmsgpack.pack(packed)) end
end

