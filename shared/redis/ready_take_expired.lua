-- Leases what is over, parked or ready. Looks at a bounded part of what waits, and goes on there the next time.
--
-- ARGV     relay, lease ms, limit, most entries to look at
-- Answers  1 if there is more to look at, then as `lease`: lane, site, queue, first lease number, bodies, take-overs
--          (or none)

local mine, room, page = leased .. ARGV[4], tonumber(ARGV[6]), tonumber(ARGV[7])
redis.call('ZADD', relays, 'GT', now + ARGV[5], ARGV[4])
answer = {0}
for _, job in ipairs(redis.call('ZRANGEBYSCORE', parked_jobs, '-inf', now, 'LIMIT', 0, 10)) do
  if room > 0 then
    local values = redis.call('ZRANGEBYSCORE', parked .. job, '-inf', now, 'LIMIT', 0, room)
    for _, value in ipairs(values) do
      local lane, site, queue, expires_at, body, take_overs = split(value)
      hand_over(mine, lane, site, queue, {body}, {expires_at}, {take_overs})
      redis.call('ZREM', parked .. job, value)
    end
    room, page = room - #values, page - #values
    index_parked(job)
  end
end

-- Looks through a part of a ready queue, from where the last call ended.
local function sweep(name)
  local lane, site, queue = string.match(name, '^(%d)([^\n]*)\n(.*)$')
  local stream, at, first = stream_of(lane, site, queue), nil, nil
  local cursor = redis.call('HGET', sweeps, name)
  if cursor then at, first = string.match(cursor, '^(%S+) (%d+)$') end
  first = tonumber(first or 0)
  local entries = redis.call('XRANGE', stream, at and '(' .. at or '-', '+', 'COUNT', page)
  local bodies, expiries_of, counts, ids, whole = {}, {}, {}, {}, #entries < page
  for _, entry in ipairs(entries) do
    local over = tonumber(entry[2][8])
    if over > 0 and over <= now then
      if #bodies == room then
        whole = false
        break
      end
      local at_end = #bodies + 1
      bodies[at_end], expiries_of[at_end], ids[at_end] = entry[2][6], entry[2][8], entry[1]
      counts[at_end] = entry[2][10] or ''
    elseif over > 0 and (first == 0 or over < first) then
      first = over
    end
    at, page = entry[1], page - 1
  end
  if #bodies > 0 then
    hand_over(mine, lane, site, queue, bodies, expiries_of, counts)
    redis.call('XDEL', stream, unpack(ids))
    room = room - #bodies
  end
  local empty = redis.call('XLEN', stream) == 0
  if not whole and not empty then
    redis.call('HSET', sweeps, name, at .. ' ' .. string.format('%.0f', first))
    return
  end
  redis.call('HDEL', sweeps, name)
  if empty then
    drop(lane, site, queue)
    local cut = string.match(redis.call('HGET', records .. site, 'turn' .. lane) or '', '^%d+ (.*)$')
    if cut == queue then redis.call('HDEL', records .. site, 'turn' .. lane) end
    local at, urgent_at = next_turn(site)
    if not at then redis.call('ZREM', sites, site) end
    if not urgent_at then redis.call('ZREM', urgent, site) end
  elseif first > 0 then
    redis.call('ZADD', expiries, sweep_at(first), name)
  else
    redis.call('ZREM', expiries, name)
  end
end

for _, name in ipairs(redis.call('ZRANGEBYSCORE', expiries, '-inf', now, 'LIMIT', 0, 20)) do
  if room > 0 and page > 0 then sweep(name) end
end
settle()
local more = redis.call('ZCOUNT', expiries, '-inf', now) + redis.call('ZCOUNT', parked_jobs, '-inf', now) > 0
answer[1] = more and 1 or 0
return answer
