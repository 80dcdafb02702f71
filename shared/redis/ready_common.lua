-- Begins every script of the ready queues, each a step that takes a message from one place to another; `ready.py` has
-- the rules. `put` and `in_hand` gather what `settle` then does once a queue and once a site.
--
-- All of them get the same KEYS (`ready.py` names them, `keys.py` spells them): nine keys and, below them, the
-- beginnings of those that carry a site, a queue, a relay or a job; then those of what is tried alone. ARGV begins with
-- the version of a stream entry, the time between two sweeps, and the take-overs after which a message is tried alone;
-- what follows is said in each.
--
-- A message that is not in a stream is written `<lane><site>\n<queue>\n<expires_at>\n<Ready>`: in the hash of a relay,
-- in `retry` and where it is parked. `<expires_at>` is followed by `+<take-overs>` where there were any; in a stream
-- they are the field `k`.

local sites, retry, relays, holds, expiries, sweeps, parked_jobs, numbers, wake,
  ready, turns, records, leased, parked,
  alone_sites, alone_expiries, alone_wake, alone_ready, alone_turns, urgent = unpack(KEYS)
local version, sweep_ms, suspect = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + clock[2] / 1000
local holding = redis.call('EXISTS', holds) == 1
local touched, in_hand, urgent_in_hand, answer = {}, {}, {}, {}

-- Lane, site, queue, expires_at, body, take-overs ('' for none).
local function split(value)
  local lane, site, queue, expires_at, count, body =
    string.match(value, '^(%d)([^\n]*)\n([^\n]*)\n(%d+)%+?(%d*)\n(.*)$')
  return lane, site, queue, expires_at, body, count
end

local function stream_of(lane, site, queue)
  return ready .. lane .. ':' .. site .. ':' .. queue
end

-- Until when nothing of a site (its name), or of a queue at a site (site, newline, queue), is handed out.
local function hold_of(member)
  return holding and tonumber(redis.call('ZSCORE', holds, member)) or 0
end

-- When a queue in which the first message is over at that time is looked through: at the next full `sweep_ms` of the
-- clock, and so never twice within one.
local function sweep_at(expires_at)
  return (math.floor(math.max(expires_at, now) / sweep_ms) + 1) * sweep_ms
end

-- When the site's next queue may be served, and the next of what people wait for; nil if nothing waits there.
local function next_turn(site)
  local function of(lane)
    return tonumber(redis.call('ZRANGE', turns .. lane .. ':' .. site, 0, 0, 'WITHSCORES')[2])
  end
  local first, second = of(0), of(1)
  return first and second and math.min(first, second) or first or second, first
end

local function count(site, lane, change)
  in_hand[site] = (in_hand[site] or 0) + change
  if tonumber(lane) == 0 then urgent_in_hand[site] = (urgent_in_hand[site] or 0) + change end
end

-- What is tried alone waits apart, in queues of the same kind that have no limit by site.
local is_alone = sites == alone_sites
local others_first_ms = 5000
local alone_came = false
local function put_apart(lane, site, queue, expires_at, body, count)
  redis.call('XADD', alone_ready .. lane .. ':' .. site .. ':' .. queue, '*',
    't', 'Ready', 'v', version, 'b', body, 'x', expires_at, 'k', count)
  local at = math.max(now, hold_of(site .. '\n' .. queue))
  redis.call('ZADD', alone_turns .. lane .. ':' .. site, 'NX', at, queue)
  redis.call('ZADD', alone_sites, 'LT', math.max(at, hold_of(site)), site)
  local over = tonumber(expires_at)
  if over > 0 then redis.call('ZADD', alone_expiries, 'LT', sweep_at(over), lane .. site .. '\n' .. queue) end
  alone_came = true
end

-- Into the ready queue; into that of what is tried alone after too many take-overs.
local function put(lane, site, queue, expires_at, body, count)
  if count and count ~= '' then
    if tonumber(count) >= suspect and not is_alone then
      put_apart(lane, site, queue, expires_at, body, count)
      return
    end
    redis.call('XADD', stream_of(lane, site, queue), '*',
      't', 'Ready', 'v', version, 'b', body, 'x', expires_at, 'k', count)
  else
    redis.call('XADD', stream_of(lane, site, queue), '*', 't', 'Ready', 'v', version, 'b', body, 'x', expires_at)
  end
  local name = lane .. site .. '\n' .. queue
  if not touched[name] then touched[name] = {lane, site, queue, 0} end
  local over = tonumber(expires_at)
  if over > 0 and (touched[name][4] == 0 or over < touched[name][4]) then touched[name][4] = over end
end

-- From a relay's hand into the ready queue.
local function put_back(value)
  local lane, site, queue, expires_at, body, take_overs = split(value)
  put(lane, site, queue, expires_at, body, take_overs)
  count(site, lane, -1)
end

-- From the hand of a relay that died, or hung, into the ready queue: whoever had it may have fallen over it. Tells what
-- it took over: how often by now, site, body.
local function take_over(relay, told)
  for _, value in ipairs(redis.call('HVALS', leased .. relay)) do
    local lane, site, queue, expires_at, body, take_overs = split(value)
    take_overs = (tonumber(take_overs) or 0) + 1
    put(lane, site, queue, expires_at, body, tostring(take_overs))
    count(site, lane, -1)
    told[#told + 1] = {take_overs, site, body, lane, queue}
  end
  redis.call('DEL', leased .. relay)
  redis.call('ZREM', relays, relay)
end

-- Of what is tried alone, the queue that somebody just died with goes on after the others: there may be many like it.
local function others_first(told)
  if not is_alone then return end
  for _, one in ipairs(told) do
    local lane, queue = one[4], one[5]
    redis.call('ZADD', turns .. lane .. ':' .. one[2], 'XX', now + others_first_ms, queue)
  end
end

-- Into a relay's hand: messages of one queue. `counts` are their take-overs, '' for none. A number is never below the
-- time in microseconds: a replica that becomes master, and has not heard of the latest leases, gives none of their
-- numbers to another message, which the relay that has them would end in its place.
local function hand_over(mine, lane, site, queue, bodies, expiries_of, counts)
  local first = math.max(tonumber(redis.call('GET', numbers) or 0) + 1, math.floor(now * 1000))
  redis.call('SET', numbers, string.format('%.0f', first + #bodies - 1))
  local head, fields, any = lane .. site .. '\n' .. queue .. '\n', {}, false
  for i = 1, #bodies do
    fields[#fields + 1] = string.format('%.0f', first + i - 1)
    local taken_over = counts[i] ~= '' and '+' .. counts[i] or ''
    any = any or counts[i] ~= ''
    fields[#fields + 1] = head .. expiries_of[i] .. taken_over .. '\n' .. bodies[i]
    if #fields == 200 or i == #bodies then
      redis.call('HSET', mine, unpack(fields))
      fields = {}
    end
  end
  count(site, lane, #bodies)
  local turn = {tonumber(lane), site, queue, first, bodies, any and counts or {}}
  for _, part in ipairs(turn) do answer[#answer + 1] = part end
end

-- A queue in which nothing waits any more.
local function drop(lane, site, queue)
  local name = lane .. site .. '\n' .. queue
  redis.call('DEL', stream_of(lane, site, queue))
  redis.call('ZREM', turns .. lane .. ':' .. site, queue)
  if redis.call('ZREM', expiries, name) == 1 then redis.call('HDEL', sweeps, name) end
end

-- How many of the site are in hand, after the changes. What is left of a turn stays: who is given a message at a time
-- would begin anew with each.
local function recount(site)
  local change, urgently = in_hand[site] or 0, urgent_in_hand[site] or 0
  in_hand[site], urgent_in_hand[site] = nil, nil
  if urgently ~= 0 and redis.call('HINCRBY', records .. site, 'urgent', urgently) <= 0 then
    redis.call('HDEL', records .. site, 'urgent')
  end
  if change == 0 then return tonumber(redis.call('HGET', records .. site, 'leased') or 0) end
  local left = redis.call('HINCRBY', records .. site, 'leased', change)
  if left <= 0 then redis.call('HDEL', records .. site, 'leased') end
  return left
end

-- Queues that got messages take their turn, sites of which less is in hand may be served again; not before their holds
-- are over. Answers whether something became due sooner.
local function settle()
  local sooner = 0
  for name, queue in pairs(touched) do
    local lane, site, queue_name, over = unpack(queue)
    local at = math.max(now, hold_of(site .. '\n' .. queue_name))
    redis.call('ZADD', turns .. lane .. ':' .. site, 'NX', at, queue_name)
    at = math.max(at, hold_of(site))
    sooner = sooner + redis.call('ZADD', sites, 'LT', 'CH', at, site)
    if tonumber(lane) == 0 and not is_alone then sooner = sooner + redis.call('ZADD', urgent, 'LT', 'CH', at, site) end
    if over > 0 then redis.call('ZADD', expiries, 'LT', sweep_at(over), name) end
  end
  touched = {}
  local changed = {}
  for site in pairs(in_hand) do changed[#changed + 1] = site end
  for _, site in ipairs(changed) do
    local fewer = in_hand[site] < 0
    recount(site)
    local at, urgent_at
    if fewer then at, urgent_at = next_turn(site) end
    if at then
      local held_until = hold_of(site)
      sooner = sooner + redis.call('ZADD', sites, 'LT', 'CH', math.max(at, held_until), site)
      if urgent_at and not is_alone then
        sooner = sooner + redis.call('ZADD', urgent, 'LT', 'CH', math.max(now, urgent_at, held_until), site)
      end
    end
  end
  return sooner > 0
end

local function wake_relays()
  if alone_came then redis.call('XADD', alone_wake, 'MAXLEN', '1', '*', 'w', '1') end
  redis.call('XADD', wake, 'MAXLEN', '1', '*', 'w', '1')
end
