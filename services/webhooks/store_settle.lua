-- Writes down what became of deliveries, holds the endpoint on, and reads on in its queue.
--
-- KEYS     lease, state, deliveries aside, queue, events given up, log of what was taken and of what failed, and the
--          zset of what is due in the partition
-- ARGV     the endpoint, name of the process, lease (ms), now (ms), lifetime of the log (ms), read behind this entry,
--          how many, then lists, each behind its length: entries done, aside (id, record, …), no more aside, entries
--          given up, state (field, value, …), lines of the two logs
-- Answers  the entries that were read; nothing if another process has the endpoint by now

if redis.call('GET', KEYS[1]) ~= ARGV[2] then return false end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('ZADD', KEYS[8], ARGV[4] + ARGV[3], ARGV[1])
local place = 8

local function list()
  local found = {}
  for at = 1, tonumber(ARGV[place]) do found[at] = ARGV[place + at] end
  place = place + #found + 1
  return found
end

local done, aside, no_more, given_up = list(), list(), list(), list()
local state, taken_log, failed_log = list(), list(), list()

local function in_parts(command, key, values)
  for at = 1, #values, 1000 do
    redis.call(command, key, unpack(values, at, math.min(at + 999, #values)))
  end
end

local function log(key, lines)
  for _, line in ipairs(lines) do redis.call('XADD', key, 'MAXLEN', '~', 500, '*', 'a', line) end
  if #lines > 0 then redis.call('PEXPIRE', key, ARGV[5]) end
end

for _, id in ipairs(given_up) do
  local found = redis.call('XRANGE', KEYS[4], id, id)
  if #found > 0 then redis.call('XADD', KEYS[5], 'MAXLEN', '~', 10000, '*', unpack(found[1][2])) end
end
if #given_up > 0 then redis.call('PEXPIRE', KEYS[5], ARGV[5]) end
in_parts('XDEL', KEYS[4], given_up)
in_parts('XDEL', KEYS[4], done)
in_parts('HDEL', KEYS[3], no_more)
in_parts('HSET', KEYS[3], aside)
in_parts('HSET', KEYS[2], state)
log(KEYS[6], taken_log)
log(KEYS[7], failed_log)
if ARGV[7] == '0' then return {} end
return redis.call('XRANGE', KEYS[4], '(' .. ARGV[6], '+', 'COUNT', ARGV[7])
