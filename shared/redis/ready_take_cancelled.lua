-- Leases messages that are cancelled, of one ready queue, of what waits for another attempt, or of what is parked.
-- Looks at a bounded part, and goes on there the next time, whichever relay asks: what comes to a ready queue is put at
-- the end, and the other two are looked through again.
--
-- One more key: how far it was looked, a hash.
--
-- ARGV     relay, lease ms, limit, most entries to look at, name of the queue (lane, site, newline, queue; '': what
--          waits for another attempt; '(parked)': what is parked), tenant, job, last job (each '' for any), site and
--          lane of what is in no queue ('' for any), lifetime ms of the hash, ms between two looks at what is in none
-- Answers  1 if there is more to look at, then as `lease`: lane, site, queue, first lease number, bodies, take-overs
--          (or none)

local walk, name = KEYS[#KEYS], ARGV[8]
local place = (is_alone and '(alone)' or '') .. name
local mine, room, page = leased .. ARGV[4], tonumber(ARGV[6]), tonumber(ARGV[7])
local tenant, job, last, its_site, its_lane = ARGV[9], ARGV[10], ARGV[11], ARGV[12], ARGV[13]
answer = {0}

-- Tenant and job of a Ready, its second and third field: texts of at most 32 bytes; nothing of what is none.
local function owner_of(body)
  local at = string.byte(body, 1) == 220 and 4 or 2
  local head = string.byte(body, at) or 0
  local length = head >= 160 and head <= 191 and head - 160 or head == 217 and string.byte(body, at + 1)
  if not length then return nil end
  if head == 217 then at = at + 1 end
  local behind = at + 1 + length
  if string.byte(body, behind) ~= 180 then return nil end
  return string.sub(body, at + 1, behind - 1), string.sub(body, behind + 1, behind + 20)
end

local function is_meant(body)
  local whose, which = owner_of(body)
  return whose and (tenant == '' or whose == tenant) and (job == '' or which == job) and (last == '' or which <= last)
end

local function look_at_queue()
  local lane, site, queue = string.match(name, '^(%d)([^\n]*)\n(.*)$')
  local stream, at = stream_of(lane, site, queue), redis.call('HGET', walk, place)
  local entries = redis.call('XRANGE', stream, at and '(' .. at or '-', '+', 'COUNT', page)
  local bodies, expiries_of, counts, found = {}, {}, {}, {}
  for _, entry in ipairs(entries) do
    if #bodies == room then
      answer[1] = 1
      break
    end
    at = entry[1]
    if is_meant(entry[2][6]) then
      local n = #bodies + 1
      bodies[n], expiries_of[n], counts[n], found[n] = entry[2][6], entry[2][8], entry[2][10] or '', at
    end
  end
  if #entries == page then answer[1] = 1 end
  if at then redis.call('HSET', walk, place, at) end
  if #bodies == 0 then return end
  hand_over(mine, lane, site, queue, bodies, expiries_of, counts)
  redis.call('XDEL', stream, unpack(found))
  if redis.call('XLEN', stream) == 0 then
    drop(lane, site, queue)
    local due, urgent_due = next_turn(site)
    if not due then redis.call('ZREM', sites, site) end
    if not urgent_due then redis.call('ZREM', urgent, site) end
  end
end

-- What stands in one sorted set, from where the last look ended: so many of it at most. `suffix` is that of its fields
-- in the walk. Answers how many were looked at and how many of them taken.
local function look_at_set(key, suffix, most, room_left)
  if tonumber(redis.call('HGET', walk, '(again)' .. suffix) or 0) > now then return 0, 0 end
  local rank = tonumber(redis.call('HGET', walk, '(rank)' .. suffix) or 0)
  local values, taken, looked_at = redis.call('ZRANGE', key, rank, rank + most - 1), 0, 0
  for _, value in ipairs(values) do
    if taken == room_left then break end
    looked_at = looked_at + 1
    local lane, site, queue, expires_at, body, count_ = split(value)
    if lane and (its_site == '' or site == its_site) and (its_lane == '' or lane == its_lane) and is_meant(body) then
      hand_over(mine, lane, site, queue, {body}, {expires_at}, {count_})
      redis.call('ZREM', key, value)
      taken = taken + 1
    end
  end
  if looked_at == #values and #values < most then
    local again = string.format('%.0f', now + tonumber(ARGV[15]))
    redis.call('HSET', walk, '(rank)' .. suffix, 0, '(again)' .. suffix, again)
  else
    redis.call('HSET', walk, '(rank)' .. suffix, rank + looked_at - taken)
    answer[1] = 1
  end
  return looked_at, taken
end

local function look_at_parked()
  for _, one in ipairs(redis.call('ZRANGE', parked_jobs, 0, -1)) do
    if last == '' or one <= last then
      if page == 0 or room == 0 then
        answer[1] = 1
        return
      end
      local looked_at, taken = look_at_set(parked .. one, one, page, room)
      page, room = page - looked_at, room - taken
      if taken > 0 then index_parked(one) end
    end
  end
end

if name == '' then
  look_at_set(retry, '', page, room)
elseif name == '(parked)' then
  look_at_parked()
else
  look_at_queue()
end
redis.call('PEXPIRE', walk, ARGV[14])
if #answer > 1 then redis.call('ZADD', relays, 'GT', now + ARGV[5], ARGV[4]) end
settle()
return answer
