-- Judges requests one after the other, so that what is permitted is exact whoever asks: by all limits of a request, or
-- by none. Times are µs since 1,700,000,000 s, which a double holds exactly, with fractions.
--
-- KEYS     a hash for each name
-- ARGV     msgpack of [limits, requests]. A limit is [number of its key, rates as [field, interval µs, tolerance µs],
--          quota, until ms or 0]; a request is when it was permitted and came too late (or 0), then numbers of limits
-- Answers  the time, then of each request µs to wait (0: permitted) and the number of the limit that refused

local asked = cmsgpack.unpack(ARGV[1])
local limits, clock = asked[1], redis.call('TIME')
local now = (clock[1] - 1700000000) * 1000000 + clock[2]
local states, changed, lines = {}, {}, {}
local function state(key)
  if not states[key] then
    local fields, flat = {}, redis.call('HGETALL', KEYS[key])
    for i = 1, #flat, 2 do fields[flat[i]] = tonumber(flat[i + 1]) end
    states[key] = fields
  end
  return states[key]
end
local answer = {now}
for _, request in ipairs(asked[2]) do
  local wait, by, line = 0, 0, nil
  local unused = table.remove(request, 1)
  for _, number in ipairs(unused > 0 and request or {}) do
    local limit = limits[number]
    local fields = state(limit[1])
    for _, rate in ipairs(limit[2]) do
      if fields[rate[1]] == unused + rate[2] then fields[rate[1]] = unused end
    end
    if limit[4] > 0 and fields['until'] == limit[4] then fields['used'] = math.max(0, fields['used'] - 1) end
    changed[limit[1]] = true
  end
  for _, number in ipairs(request) do
    local limit = limits[number]
    local fields = state(limit[1])
    for _, rate in ipairs(limit[2]) do
      local interval, tolerance = rate[2], rate[3]
      local known = fields[rate[1]] or 0
      local due = math.min(known, now + tolerance + interval)
      if due < known then changed[limit[1]] = true end -- the rate was a slower one: what it left is forgotten for good
      fields[rate[1]] = due
      if due - tolerance > now then
        local place = limit[1] .. ' ' .. rate[1]
        local its = due - tolerance - now + (lines[place] or 0) * interval
        if its > wait then wait, by, line = its, number, place end
      end
    end
    if limit[4] > 0 then
      if (fields['until'] or 0) < limit[4] then fields['until'], fields['used'] = limit[4], 0 end
      if fields['used'] >= limit[3] then
        local its = math.max((limit[4] - 1700000000000) * 1000 - now, 1000000)
        if its > wait then wait, by, line = its, number, nil end
      end
    end
  end
  if wait == 0 then
    for _, number in ipairs(request) do
      local limit = limits[number]
      local fields = state(limit[1])
      for _, rate in ipairs(limit[2]) do fields[rate[1]] = math.max(fields[rate[1]], now) + rate[2] end
      if limit[4] > 0 then fields['used'] = fields['used'] + 1 end
      changed[limit[1]] = true
    end
  elseif line then
    lines[line] = (lines[line] or 0) + 1
  end
  answer[#answer + 1] = math.ceil(wait)
  answer[#answer + 1] = by
end
for key in pairs(changed) do
  local flat, last = {}, now
  for name, value in pairs(states[key]) do
    flat[#flat + 1] = name
    flat[#flat + 1] = string.format('%.4f', value)
    if name == 'until' then
      last = math.max(last, (value - 1700000000000) * 1000)
    elseif name ~= 'used' then
      last = math.max(last, value)
    end
  end
  redis.call('HSET', KEYS[key], unpack(flat))
  redis.call('PEXPIRE', KEYS[key], math.ceil((last - now) / 1000) + 1000)
end
return answer
