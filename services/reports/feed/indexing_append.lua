-- Appends what was read of the event stream to the feeds of its tenants and jobs, and to histories, and notes how far
-- that is, in one step: of several processes that have read the same, one appends it. `chunks.py` says what a chunk is.
--
-- KEYS     mark, then what the entries point at (from 1)
-- ARGV     the mark as it was read, "" for none; the mark that follows; ms before which events are not kept; lifetime
--          of a feed (ms); most kinds of a tenant; bytes at which a chunk is full; the entries as one msgpack list:
--          each ms, number, type, then the places of the kinds of its tenant, of its job (0: none), and of its feeds;
--          the places of the bases of what is new in histories as another, these records in one string, and the
--          lifetime of histories (ms)
-- Answers  how many were appended, or -1 if another process was first

if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return -1 end
local before_ms, lifetime, most_kinds, full = tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6])
local NO_JOB, UNKNOWN, FIRST_KIND, TYPES = 1, 0, 2, 64
local feeds, kinds, counts, told = {}, {}, {}, {}

local function varint(number)
  local bytes = ''
  while number >= 128 do
    bytes = bytes .. string.char(number % 128 + 128)
    number = math.floor(number / 128)
  end
  return bytes .. string.char(number)
end

-- Which stream, list and tags: jobs that are alike in these are of one kind.
local function kind_of(table_at, job_at)
  if job_at == 0 then return NO_JOB end
  if kinds[job_at] then return kinds[job_at] end
  local job = redis.call('HMGET', KEYS[job_at], JOB.stream, JOB.list, JOB.tags)
  local kind = UNKNOWN
  if job[1] then
    local name = job[1] .. '\n' .. (job[2] or '') .. '\n' .. (job[3] or '')
    kind = tonumber(redis.call('HGET', KEYS[table_at], name) or UNKNOWN)
    if kind == UNKNOWN then
      local known = counts[table_at] or redis.call('HLEN', KEYS[table_at])
      if known < most_kinds then
        kind = known + FIRST_KIND
        redis.call('HSET', KEYS[table_at], name, kind)
        known = known + 1
      end
      counts[table_at] = known
    end
    told[table_at] = true
  end
  kinds[job_at] = kind
  return kind
end

local function opened(at)
  local feed = feeds[at]
  if feed then return feed end
  local last = redis.call('LINDEX', KEYS[at], -1)
  feed = {}
  if last then
    feed.base_ms, feed.base, feed.ms, feed.number, feed.types, feed.kinds = struct.unpack('>I6I4I6I4I4I4', last)
    feed.body, feed.bytes, feed.is_there = {string.sub(last, 29)}, #last - 28, true
  end
  feeds[at] = feed
  return feed
end

local function written(at, feed)
  if not feed.base_ms then return end
  local head = struct.pack(
    '>I6I4I6I4I4I4', feed.base_ms, feed.base, feed.ms, feed.number, feed.types, feed.kinds)
  local chunk = head .. table.concat(feed.body)
  if feed.is_there then
    redis.call('LSET', KEYS[at], -1, chunk)
  else
    redis.call('RPUSH', KEYS[at], chunk)
    feed.is_there = true
  end
end

local function begin(feed, ms, number)
  feed.base_ms, feed.base, feed.ms, feed.number = ms, number, ms, number - 1
  feed.types, feed.kinds, feed.body, feed.bytes, feed.is_there = 0, 0, {}, 0, false
end

local function append(at, ms, number, what, kind)
  local feed = opened(at)
  if not feed.base_ms then
    begin(feed, ms, number)
  elseif feed.bytes >= full then
    written(at, feed)
    begin(feed, ms, number)
  end
  local later = ms - feed.ms
  local expected = later == 0 and feed.number + 1 or 0
  local bytes
  if number == expected then
    bytes = varint(later * 2) .. varint(what + TYPES * kind)
  else
    bytes = varint(later * 2 + 1) .. varint(number) .. varint(what + TYPES * kind)
  end
  feed.body[#feed.body + 1], feed.bytes = bytes, feed.bytes + #bytes
  feed.ms, feed.number = ms, number
  feed.types = bit.bor(feed.types, bit.lshift(1, what % 32))
  feed.kinds = bit.bor(feed.kinds, bit.lshift(1, kind % 32))
end

-- A chunk is old if the one behind it begins with what is old.
local function drop_old(at)
  while true do
    local second = redis.call('LINDEX', KEYS[at], 1)
    if not second or struct.unpack('>I6', second) >= before_ms then return end
    redis.call('LPOP', KEYS[at])
  end
end

local appended = 0
for _, entry in ipairs(cmsgpack.unpack(ARGV[7])) do
  local ms, number, what, table_at, job_at = unpack(entry)
  local kind = kind_of(table_at, job_at)
  for i = 6, #entry do append(entry[i], ms, number, what, kind) end
  appended = appended + 1
end
for at, feed in pairs(feeds) do
  written(at, feed)
  drop_old(at)
  redis.call('PEXPIRE', KEYS[at], lifetime)
end
for at in pairs(told) do redis.call('PEXPIRE', KEYS[at], lifetime) end
for i, base in ipairs(cmsgpack.unpack(ARGV[8])) do
  history_note(KEYS[base], string.sub(ARGV[9], (i - 1) * history_bytes + 1, i * history_bytes))
end
history_write(ARGV[10])
redis.call('SET', KEYS[1], ARGV[2])
return appended
