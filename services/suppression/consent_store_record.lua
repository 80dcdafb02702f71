-- Writes down what was said of addresses, in one step each: the state, the proof and the facts. Each saying once; those
-- facts are marked too, so that nobody who reads them writes them down again.
--
-- Of each topic the later answer holds, the new one of two at the same second (`shared.words.consent.merged`).
--
-- Who is not to be tracked by the state that this comes to has no usual hours any more.
--
-- KEYS     events, then of each saying: the map of states, the log, its mark, the map of usual hours, and the marks of
--          its facts
-- ARGV     lifetime of a mark, most entries of a log, version of the facts, the answer by which somebody withdraws,
--          then of each saying: address, change, entry, how many facts, and of each fact: name and body
-- Answers  for each saying: 1 it was news, 0 it was written down before

local answers, key, at = {}, 2, 5
local most, no = tonumber(ARGV[2]), tonumber(ARGV[4])

local function latest(old, new)
  for topic = 1, #new, 2 do
    if new[topic + 1] == 0 or new[topic + 1] < (old[topic + 1] or 0) then
      new[topic], new[topic + 1] = old[topic] or 0, old[topic + 1] or 0
    end
  end
  return new
end

local function append(log, entry)
  if redis.call('RPUSH', log, entry) > most then
    redis.call('LSET', log, most / 2, '')
    redis.call('LREM', log, 1, '')
  end
end

while at <= #ARGV do
  local base, log, mark, hours = KEYS[key], KEYS[key + 1], KEYS[key + 2], KEYS[key + 3]
  local address, change, entry, facts = ARGV[at], ARGV[at + 1], ARGV[at + 2], tonumber(ARGV[at + 3])
  local is_news = redis.call('SET', mark, '1', 'NX', 'PX', ARGV[1])
  if is_news then
    local known = addressed_get(base, address)
    local state = cmsgpack.unpack(change)
    if known then state = latest(cmsgpack.unpack(known), state) end
    addressed_set(base, address, cmsgpack.pack(state))
    if state[STATE.tracking] == no then addressed_delete(hours, address) end
    append(log, entry)
    for fact = 1, facts do
      local place = at + 2 + 2 * fact
      redis.call('SET', KEYS[key + 3 + fact], '1', 'PX', ARGV[1])
      redis.call('XADD', KEYS[1], '*', 't', ARGV[place], 'v', ARGV[3], 'b', ARGV[place + 1])
    end
  end
  answers[#answers + 1] = is_news and 1 or 0
  key, at = key + 4 + facts, at + 4 + 2 * facts
end
return answers
