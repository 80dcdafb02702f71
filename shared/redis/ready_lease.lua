-- Hands messages to a relay, and renews its lease on those that it holds. Puts back first what dead relays held.
--
-- ARGV     relay, lease ms, limit, limit of a site, room of the relay, its part for a site, messages of a turn, limit
--          and room with what is kept for lane 0, then what this relay does not want now: sites, and queues at sites
--          (`<lane><site>\n<queue>`)
-- Answers  how many this relay holds in all, ms until something is due, what was taken over from dead relays (see
--          `take_over`), then of each turn lane, site, queue, first lease number, bodies, take-overs of each (or none)

local relay, lease_ms, limit, site_limit = ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local room_of_relay, share, turn = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])
local urgent_limit, urgent_room = tonumber(ARGV[11]), tonumber(ARGV[12])
local mine = leased .. relay
local avoided, taken_over = {}, {}
for i = 13, #ARGV do avoided[ARGV[i]] = true end
-- So many more are looked at, so that what is avoided hides nothing behind it.
local looked_at = 88 + #ARGV
redis.call('ZREMRANGEBYSCORE', holds, '-inf', now)
local seen = tonumber(redis.call('ZSCORE', relays, '(asked)') or now)
if now - seen > lease_ms / 2 then
  for _, other in ipairs(redis.call('ZRANGE', relays, 0, -1)) do
    redis.call('ZADD', relays, now + lease_ms, other)
  end
end
redis.call('ZADD', relays, now + lease_ms, relay, now, '(asked)')
for _, dead in ipairs(redis.call('ZRANGEBYSCORE', relays, '-inf', now - 1, 'LIMIT', 0, 4)) do
  take_over(dead, taken_over)
end
-- What comes due is everybody's, and so not for one who tries messages alone.
if not is_alone then
  for _, value in ipairs(redis.call('ZRANGEBYSCORE', retry, '-inf', now, 'LIMIT', 0, 500)) do
    put(split(value))
    redis.call('ZREM', retry, value)
  end
end
settle()
if alone_came then wake_relays() end

-- Up to so many of one queue; how many there were, and whether there are more.
local function take(lane, site, queue, most)
  local stream = stream_of(lane, site, queue)
  local entries = redis.call('XRANGE', stream, '-', '+', 'COUNT', most + 1)
  local bodies, expiries_of, counts = {}, {}, {}
  for i = 1, math.min(#entries, most) do
    bodies[i], expiries_of[i], counts[i] = entries[i][2][6], entries[i][2][8], entries[i][2][10] or ''
  end
  if #bodies > 0 then hand_over(mine, lane, site, queue, bodies, expiries_of, counts) end
  if #entries > most then
    redis.call('XTRIM', stream, 'MINID', entries[most + 1][1])
    return #bodies, true
  end
  drop(lane, site, queue)
  return #bodies, false
end

-- The queues of a lane, the one that waited longest first, `turn` messages of each in turn, more of one that is alone.
-- One whose turn is cut short, because the room ends, keeps its place, and has the rest of its turn the next time. So
-- does its site: it goes on over the connection that it has, before others open theirs. Scores are put back a
-- millisecond, so that all that were served in this call may be served in the next.
local function serve(lane, site, room)
  local key, served, rest, cut = turns .. lane .. ':' .. site, 0, nil, nil
  local queues = {}
  for _, queue in ipairs(redis.call('ZRANGEBYSCORE', key, '-inf', now, 'LIMIT', 0, looked_at)) do
    if not avoided[lane .. site .. '\n' .. queue] then queues[#queues + 1] = queue end
  end
  if #queues > 0 and room > 0 then
    rest, cut = string.match(redis.call('HGET', records .. site, 'turn' .. lane) or '', '^(%d+) (.*)$')
    if cut then redis.call('HDEL', records .. site, 'turn' .. lane) end
  end
  while #queues > 0 and room > 0 do
    local left, alone = {}, #queues == 1
    for _, queue in ipairs(queues) do
      if room <= 0 then break end
      local due = queue == cut and tonumber(rest) or turn
      cut = cut ~= queue and cut
      local found, more = take(lane, site, queue, alone and room or math.min(due, room))
      room = room - found
      if more then
        left[#left + 1] = queue
        if found < due then
          redis.call('HSET', records .. site, 'turn' .. lane, due - found .. ' ' .. queue)
        else
          served = served + 1
          redis.call('ZADD', key, now - 1 + served / 1000, queue)
        end
      end
    end
    queues = left
  end
  return room
end

answer = {0, 0, taken_over}
local first_taken = 0
-- What people wait for goes first, over all sites: it does not wait until its site's turn comes among thousands.
if urgent_limit > 0 and not is_alone then
  for _, site in ipairs(redis.call('ZRANGEBYSCORE', urgent, '-inf', now, 'LIMIT', 0, looked_at)) do
    if first_taken >= urgent_limit then break end
    if not avoided[site] then
      local most = math.min(site_limit, math.max(1, math.ceil((urgent_room - first_taken) / share)))
      local held, urgently = recount(site), tonumber(redis.call('HGET', records .. site, 'urgent') or 0)
      local room = math.min(urgent_limit - first_taken, most - urgently, site_limit - held)
      local taken = room > 0 and room - serve(0, site, room) or 0
      first_taken = first_taken + taken
      recount(site)
      local at, urgent_at = next_turn(site)
      if not at then redis.call('ZREM', sites, site) end
      if not urgent_at or urgently + taken >= most or held + taken >= site_limit then
        redis.call('ZREM', urgent, site)
      else
        redis.call('ZADD', urgent, math.max(now, urgent_at), site)
      end
    end
  end
  limit = math.min(limit, urgent_limit - first_taken)
end
if limit > 0 then
  local taken = 0
  for _, site in ipairs(redis.call('ZRANGEBYSCORE', sites, '-inf', now, 'LIMIT', 0, looked_at)) do
    if taken >= limit then break end
    if not avoided[site] then
      local most = math.min(site_limit, math.max(1, math.ceil((room_of_relay - taken) / share)))
      local held = recount(site)
      local room = math.min(limit - taken, most - held)
      local left = room
      for lane = 0, 1 do
        if left > 0 then left = serve(lane, site, left) end
      end
      if left < room then taken = taken + room - left end
      held = recount(site)
      local at, urgent_at = next_turn(site)
      if not urgent_at then redis.call('ZREM', urgent, site) end
      if not at or held >= most then
        redis.call('ZREM', sites, site)
      else
        redis.call('ZADD', sites, math.max(at, hold_of(site)), site)
      end
    end
  end
end
local due = now + lease_ms
for at, key in ipairs({sites, retry, relays}) do
  local skipped = at == 3 and 1 or 0
  local first = redis.call('ZRANGE', key, skipped, skipped, 'WITHSCORES')
  if first[2] and not (is_alone and at == 2) then due = math.min(due, tonumber(first[2])) end
end
answer[1] = redis.call('HLEN', mine)
answer[2] = math.ceil(math.max(0, due - now))
return answer
