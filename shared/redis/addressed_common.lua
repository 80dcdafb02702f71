-- Begins every script that looks into a map of addresses; `addressed.py` has the rules. A script gets the key of the
-- map, its `base`, as one of its KEYS; the keys of buckets follow from it.
--
--   addressed_get(base, address)         the value, or false
--   addressed_set(base, address, value)  true if the address is new in the map
--   addressed_delete(base, address)      true if it was in the map
--
-- Other functions here are of the map itself.

local addressed_mean, addressed_turn = 40, 4294967296
local addressed_known = {}
-- The bucket that was asked for last: who reads a value often writes it next.
local addressed_base, addressed_address, addressed_of, addressed_found

-- How many buckets a map has, 0 of one that is not there.
local function addressed_buckets(base)
  local known = addressed_known[base]
  if not known then
    known = tonumber(redis.call('HGET', base, 'buckets') or 0)
    addressed_known[base] = known
  end
  return known
end

-- Of a number of buckets the largest power of two that is not above it.
local function addressed_half(buckets)
  local half = 1
  while half * 2 <= buckets do half = half * 2 end
  return half
end

local function addressed_hash(address)
  return tonumber(string.sub(redis.sha1hex(address), 1, 8), 16)
end

local function addressed_place(hash, buckets)
  local half = addressed_half(buckets)
  local at = hash % (2 * half)
  return at < buckets and at or at - half
end

local function addressed_bucket(base, address, buckets)
  if address ~= addressed_address or base ~= addressed_base or buckets ~= addressed_of then
    addressed_base, addressed_address, addressed_of = base, address, buckets
    addressed_found = base .. ':' .. string.format('%.0f', addressed_place(addressed_hash(address), buckets))
  end
  return addressed_found
end

-- One more bucket: what belongs there comes out of the one bucket that is too wide by one bit.
local function addressed_split(base, buckets)
  local half = addressed_half(buckets)
  local from, to = base .. ':' .. string.format('%.0f', buckets - half), base .. ':' .. string.format('%.0f', buckets)
  local all, moved, gone = redis.call('HGETALL', from), {}, {}
  for i = 1, #all, 2 do
    if addressed_hash(all[i]) % (2 * half) == buckets then
      moved[#moved + 1], moved[#moved + 2], gone[#gone + 1] = all[i], all[i + 1], all[i]
    end
    if #gone == 500 or (i == #all - 1 and #gone > 0) then
      redis.call('HSET', to, unpack(moved))
      redis.call('HDEL', from, unpack(gone))
      moved, gone = {}, {}
    end
  end
  redis.call('HSET', base, 'buckets', string.format('%.0f', buckets + 1))
  addressed_known[base] = buckets + 1
end

local function addressed_get(base, address)
  local buckets = addressed_buckets(base)
  return buckets > 0 and redis.call('HGET', addressed_bucket(base, address, buckets), address)
end

local function addressed_set(base, address, value)
  local buckets = addressed_buckets(base)
  if buckets == 0 then
    redis.call('HSET', base, 'buckets', '1')
    addressed_known[base], buckets = 1, 1
  end
  if redis.call('HSET', addressed_bucket(base, address, buckets), address, value) == 0 then return false end
  if redis.call('HINCRBY', base, 'count', '1') > addressed_mean * buckets then addressed_split(base, buckets) end
  return true
end

-- Buckets are never joined again; a map that is empty is gone.
local function addressed_delete(base, address)
  local buckets = addressed_buckets(base)
  if buckets == 0 or redis.call('HDEL', addressed_bucket(base, address, buckets), address) == 0 then return false end
  if redis.call('HINCRBY', base, 'count', -1) == 0 then
    redis.call('DEL', base)
    addressed_known[base] = 0
  end
  return true
end
