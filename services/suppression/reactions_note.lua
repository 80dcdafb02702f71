-- Counts hours in which people reacted: an hour of somebody's once, and none before the last that was counted, so all
-- of it may be done twice. Nothing of who withdrew their consent to be tracked, whatever came before it.
--
-- KEYS     the map of hours, the map of states of consent
-- ARGV     this hour since 1970, the highest count, the answer by which somebody withdrew, then of each reaction:
--          address, its hour since 1970; those of an address in their order
-- Answers  how many were counted
--
-- A value is the last hour in three bytes, and a byte for each hour of the day: the hour times eight, and its count
-- (`shared.words.usual_hours`).

local now, most, no = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local counted = 0

local function with(cells, hour)
  local made, own = {}, 0
  local is_full = false
  for i = 1, #cells do
    local cell = string.byte(cells, i)
    if cell == hour * 8 + most then is_full = true end
  end
  for i = 1, #cells do
    local cell = string.byte(cells, i)
    local count = cell % 8
    local of = (cell - count) / 8
    if is_full then count = math.floor(count / 2) end
    if of == hour then
      own = count
    elseif count > 0 then
      made[#made + 1] = string.char(of * 8 + count)
    end
  end
  made[#made + 1] = string.char(hour * 8 + own + 1)
  return table.concat(made)
end

for at = 4, #ARGV, 2 do
  local address, hour = ARGV[at], tonumber(ARGV[at + 1])
  local said = addressed_get(KEYS[2], address)
  if hour <= now and not (said and cmsgpack.unpack(said)[STATE.tracking] == no) then
    local known = addressed_get(KEYS[1], address)
    local last = known and struct.unpack('>I3', known) or 0
    if hour > last then
      local cells = known and string.sub(known, 4) or ''
      addressed_set(KEYS[1], address, struct.pack('>I3', hour) .. with(cells, hour % 24))
      counted = counted + 1
    end
  end
end
return counted
