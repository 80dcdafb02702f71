"""The scripts of the ready queues, each a step that takes a message from one place to another; `shared.redis.ready` has
the rules.

Every script gets the same KEYS (`shared.redis.ready` names them, `shared.redis.keys` spells them): nine keys and, below
them, the beginnings of those that carry a site, a queue, a relay or a job; then those of what is tried alone. ARGV
begins with the version of a stream entry, the time between two sweeps, and the take-overs after which a message is
tried alone; what follows is said above each.

A message that is not in a stream is written `<lane><site>\\n<queue>\\n<expires_at>\\n<Ready>`: in the hash of a relay,
in `retry` and where it is parked. `<expires_at>` is followed by `+<take-overs>` where there were any; in a stream they
are the field `k`.
"""

from shared.redis.redis import Script

#: What the scripts have in common. `put` and `in_hand` gather what `settle` then does once a queue and once a site.
_COMMON = """
local sites, retry, relays, holds, expiries, sweeps, parked_jobs, numbers, wake,
  ready, turns, records, leased, parked,
  alone_sites, alone_expiries, alone_wake, alone_ready, alone_turns = unpack(KEYS)
local version, sweep_ms, suspect = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + clock[2] / 1000
local holding = redis.call('EXISTS', holds) == 1
local touched, in_hand, answer = {}, {}, {}

-- Lane, site, queue, expires_at, body, take-overs ('' for none).
local function split(value)
  local lane, site, queue, expires_at, count, body =
    string.match(value, '^(%d)([^\\n]*)\\n([^\\n]*)\\n(%d+)%+?(%d*)\\n(.*)$')
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

-- When the site's next queue may be served; nil if nothing waits there.
local function next_turn(site)
  local at
  for lane = 0, 1 do
    local score = tonumber(redis.call('ZRANGE', turns .. lane .. ':' .. site, 0, 0, 'WITHSCORES')[2])
    if score and (not at or score < at) then at = score end
  end
  return at
end

local function count(site, change)
  in_hand[site] = (in_hand[site] or 0) + change
end

-- What is tried alone waits apart, in queues of the same kind that have no limit by site.
local is_alone = sites == alone_sites
local others_first_ms = 5000
local alone_came = false
local function put_apart(lane, site, queue, expires_at, body, count)
  redis.call('XADD', alone_ready .. lane .. ':' .. site .. ':' .. queue, '*',
    't', 'Ready', 'v', version, 'b', body, 'x', expires_at, 'k', count)
  local at = math.max(now, hold_of(site .. '\\n' .. queue))
  redis.call('ZADD', alone_turns .. lane .. ':' .. site, 'NX', at, queue)
  redis.call('ZADD', alone_sites, 'LT', math.max(at, hold_of(site)), site)
  local over = tonumber(expires_at)
  if over > 0 then redis.call('ZADD', alone_expiries, 'LT', sweep_at(over), lane .. site .. '\\n' .. queue) end
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
  local name = lane .. site .. '\\n' .. queue
  if not touched[name] then touched[name] = {lane, site, queue, 0} end
  local over = tonumber(expires_at)
  if over > 0 and (touched[name][4] == 0 or over < touched[name][4]) then touched[name][4] = over end
end

-- From a relay's hand into the ready queue.
local function put_back(value)
  local lane, site, queue, expires_at, body, take_overs = split(value)
  put(lane, site, queue, expires_at, body, take_overs)
  count(site, -1)
end

-- From the hand of a relay that died, or hung, into the ready queue: whoever had it may have fallen over it. Tells what
-- it took over: how often by now, site, body.
local function take_over(relay, told)
  for _, value in ipairs(redis.call('HVALS', leased .. relay)) do
    local lane, site, queue, expires_at, body, take_overs = split(value)
    take_overs = (tonumber(take_overs) or 0) + 1
    put(lane, site, queue, expires_at, body, tostring(take_overs))
    count(site, -1)
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

-- Into a relay's hand: messages of one queue. `counts` are their take-overs, '' for none.
local function hand_over(mine, lane, site, queue, bodies, expiries_of, counts)
  local first = redis.call('INCRBY', numbers, #bodies) - #bodies + 1
  local head, fields, any = lane .. site .. '\\n' .. queue .. '\\n', {}, false
  for i = 1, #bodies do
    fields[#fields + 1] = first + i - 1
    local taken_over = counts[i] ~= '' and '+' .. counts[i] or ''
    any = any or counts[i] ~= ''
    fields[#fields + 1] = head .. expiries_of[i] .. taken_over .. '\\n' .. bodies[i]
    if #fields == 200 or i == #bodies then
      redis.call('HSET', mine, unpack(fields))
      fields = {}
    end
  end
  count(site, #bodies)
  local turn = {tonumber(lane), site, queue, first, bodies, any and counts or {}}
  for _, part in ipairs(turn) do answer[#answer + 1] = part end
end

-- A queue in which nothing waits any more.
local function drop(lane, site, queue)
  local name = lane .. site .. '\\n' .. queue
  redis.call('DEL', stream_of(lane, site, queue))
  redis.call('ZREM', turns .. lane .. ':' .. site, queue)
  if redis.call('ZREM', expiries, name) == 1 then redis.call('HDEL', sweeps, name) end
end

-- How many of the site are in hand, after the changes.
local function recount(site)
  local change = in_hand[site] or 0
  in_hand[site] = nil
  if change == 0 then return tonumber(redis.call('HGET', records .. site, 'leased') or 0) end
  local left = redis.call('HINCRBY', records .. site, 'leased', change)
  if left <= 0 then redis.call('DEL', records .. site) end
  return left
end

-- Queues that got messages take their turn, sites of which less is in hand may be served again; not before their holds
-- are over. Answers whether something became due sooner.
local function settle()
  local sooner = 0
  for name, queue in pairs(touched) do
    local lane, site, queue_name, over = unpack(queue)
    local at = math.max(now, hold_of(site .. '\\n' .. queue_name))
    redis.call('ZADD', turns .. lane .. ':' .. site, 'NX', at, queue_name)
    sooner = sooner + redis.call('ZADD', sites, 'LT', 'CH', math.max(at, hold_of(site)), site)
    if over > 0 then redis.call('ZADD', expiries, 'LT', sweep_at(over), name) end
  end
  touched = {}
  local changed = {}
  for site in pairs(in_hand) do changed[#changed + 1] = site end
  for _, site in ipairs(changed) do
    local fewer = in_hand[site] < 0
    recount(site)
    local at = fewer and next_turn(site)
    if at then
      sooner = sooner + redis.call('ZADD', sites, 'LT', 'CH', math.max(now, at, hold_of(site)), site)
    end
  end
  return sooner > 0
end

local function wake_relays()
  if alone_came then redis.call('XADD', alone_wake, 'MAXLEN', '1', '*', 'w', '1') end
  redis.call('XADD', wake, 'MAXLEN', '1', '*', 'w', '1')
end
"""


def _script(lua: str) -> Script:
    return Script(_COMMON + lua)


#: One more key: the mark of the chunk. ARGV: its lifetime, then by queue: lane, site, queue, how many, and of each
#: message expires_at and body.
ENQUEUE = _script(
    """
if not redis.call('SET', KEYS[#KEYS], '1', 'NX', 'PX', ARGV[4]) then return 0 end
local i = 5
while i < #ARGV do
  local lane, site, queue, last = ARGV[i], ARGV[i + 1], ARGV[i + 2], i + 3 + 2 * ARGV[i + 3]
  for at = i + 4, last, 2 do put(lane, site, queue, ARGV[at], ARGV[at + 1]) end
  i = last + 1
end
if settle() then wake_relays() end
return 1
"""
)

#: ARGV: relay, lease ms, limit, limit of a site, room of the relay, its part for a site, messages of a turn, then what
#: this relay does not want now: sites, and queues at sites (`<lane><site>\\n<queue>`). Answers:
#: how many this relay holds in all, ms until something is due, what was taken over from dead relays (see `take_over`),
#: then of each turn lane, site, queue, first lease number, bodies, take-overs of each (or none).
LEASE = _script(
    """
local relay, lease_ms, limit, site_limit = ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local room_of_relay, share, turn = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])
local mine = leased .. relay
local avoided, taken_over = {}, {}
for i = 11, #ARGV do avoided[ARGV[i]] = true end
-- So many more are looked at, so that what is avoided hides nothing behind it.
local looked_at = 90 + #ARGV
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

-- The queues of a lane, the one that waited longest first, `turn` messages of each in turn. One whose turn is cut
-- short, because the room ends, keeps its place, and has the rest of its turn the next time. Scores are put back a
-- millisecond, so that all that were served in this call may be served in the next.
local function serve(lane, site, room)
  local key, served, rest, cut = turns .. lane .. ':' .. site, 0, nil, nil
  local queues = {}
  for _, queue in ipairs(redis.call('ZRANGEBYSCORE', key, '-inf', now, 'LIMIT', 0, looked_at)) do
    if not avoided[lane .. site .. '\\n' .. queue] then queues[#queues + 1] = queue end
  end
  if #queues > 1 then
    rest, cut = string.match(redis.call('HGET', records .. site, 'turn' .. lane) or '', '^(%d+) (.*)$')
    if cut then redis.call('HDEL', records .. site, 'turn' .. lane) end
  end
  while #queues > 0 and room > 0 do
    local left, alone = {}, #queues == 1
    for _, queue in ipairs(queues) do
      if room <= 0 then break end
      local due = queue == cut and tonumber(rest) or alone and room or turn
      cut = cut ~= queue and cut
      local found, more = take(lane, site, queue, math.min(due, room))
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
      local at = next_turn(site)
      if not at or held >= most then
        redis.call('ZREM', sites, site)
      else
        redis.call('ZADD', sites, math.max(now, at), site)
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
"""
)

#: ARGV: relay, then number, due ms ('': done) and body of each message. Numbers that this relay no longer holds are
#: passed over; answers how many.
RECORD = _script(
    """
local mine, lost, later = leased .. ARGV[4], 0, false
for i = 5, #ARGV, 3 do
  local value = redis.call('HGET', mine, ARGV[i])
  if not value then
    lost = lost + 1
  else
    redis.call('HDEL', mine, ARGV[i])
    -- An attempt that came to its end brought nobody down: the next one begins without a count.
    local head, site = string.match(value, '^(%d([^\\n]*)\\n[^\\n]*\\n%d+)')
    count(site, -1)
    if ARGV[i + 1] ~= '' then
      redis.call('ZADD', retry, ARGV[i + 1], head .. '\\n' .. ARGV[i + 2])
      later = true
    end
  end
end
if settle() or later then wake_relays() end
return lost
"""
)

#: ARGV: relay, numbers. Puts messages back that were not tried; with no numbers, all, and the relay is gone.
RELEASE = _script(
    """
local mine, given = leased .. ARGV[4], {}
for i = 5, #ARGV do given[#given + 1] = ARGV[i] end
if #given == 0 then
  given = redis.call('HKEYS', mine)
  redis.call('ZREM', relays, ARGV[4])
end
for _, number in ipairs(given) do
  local value = redis.call('HGET', mine, number)
  if value then
    redis.call('HDEL', mine, number)
    put_back(value)
  end
end
settle()
wake_relays()
return #given
"""
)

#: ARGV: a relay that is known to have died, or to have hung. Answers what was taken over from it (see `take_over`).
DIED = _script(
    """
local told = {}
take_over(ARGV[4], told)
settle()
others_first(told)
wake_relays()
return told
"""
)

#: ARGV: site, queue ('': all of the site), until ms. Never shortens.
HOLD = _script(
    """
local site, queue, till = ARGV[4], ARGV[5], tonumber(ARGV[6])
if till <= now then return 0 end
if queue == '' then
  redis.call('ZADD', holds, 'GT', till, site)
  redis.call('ZADD', sites, 'XX', 'GT', till, site)
else
  redis.call('ZADD', holds, 'GT', till, site .. '\\n' .. queue)
  for lane = 0, 1 do redis.call('ZADD', turns .. lane .. ':' .. site, 'XX', 'GT', till, queue) end
end
return 1
"""
)

#: When the next message of a job is over that is parked.
_INDEX_PARKED = """
local function index_parked(job)
  local first = redis.call('ZRANGE', parked .. job, 0, 0, 'WITHSCORES')[2]
  if first then redis.call('ZADD', parked_jobs, first, job) else redis.call('ZREM', parked_jobs, job) end
end
"""

#: ARGV: relay, then number and job of each message. Answers how many it had.
PARK = _script(
    _INDEX_PARKED
    + """
local mine, found, jobs = leased .. ARGV[4], 0, {}
for i = 5, #ARGV, 2 do
  local value = redis.call('HGET', mine, ARGV[i])
  if value then
    redis.call('HDEL', mine, ARGV[i])
    local _, site, _, expires_at = split(value)
    redis.call('ZADD', parked .. ARGV[i + 1], expires_at == '0' and '+inf' or expires_at, value)
    count(site, -1)
    jobs[ARGV[i + 1]] = true
    found = found + 1
  end
end
for job in pairs(jobs) do index_parked(job) end
if settle() then wake_relays() end
return found
"""
)

#: ARGV: job, limit. Answers how many went back.
UNPARK = _script(
    _INDEX_PARKED
    + """
local job = ARGV[4]
local values = redis.call('ZRANGE', parked .. job, 0, ARGV[5] - 1)
for _, value in ipairs(values) do put(split(value)) end
redis.call('ZREMRANGEBYRANK', parked .. job, 0, #values - 1)
index_parked(job)
if settle() or alone_came then wake_relays() end
return #values
"""
)

#: ARGV: relay, lease ms, limit, most entries to look at. Leases what is over. Answers 1 if there is more to look at,
#: then as LEASE: lane, site, queue, first lease number, bodies, take-overs (or none).
TAKE_EXPIRED = _script(
    _INDEX_PARKED
    + """
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
  local lane, site, queue = string.match(name, '^(%d)([^\\n]*)\\n(.*)$')
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
    if not next_turn(site) then redis.call('ZREM', sites, site) end
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
"""
)
