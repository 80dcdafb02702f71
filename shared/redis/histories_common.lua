-- Begins scripts that use histories: what was sent to whom. `histories.py` says how they are stored. A script gets the
-- `base` of each as one of its KEYS; the keys of buckets follow from it.
--
--   history_note(base, record)            notes a record of `history_bytes`, to be written
--   history_write(lifetime)               writes what was noted, for so many ms
--   history_leaf(base, hash, lifetime)    the key of the bucket of a hash, and how deep that is; `lifetime` where one
--                                         writes

local history_bytes, history_full, history_deepest, history_week = 22, 256, 6, 604800000
local history_noted, history_splits = {}, {}

-- Once a week is enough: the command would be a third of what is written.
local function history_keep(name, lifetime)
  if redis.call('PTTL', name) < tonumber(lifetime) - history_week then redis.call('PEXPIRE', name, lifetime) end
end

local function history_is_split(name, lifetime)
  local is_split = history_splits[name]
  if is_split == nil then
    is_split = redis.call('LINDEX', name, 0) == '/'
    if is_split and lifetime then history_keep(name, lifetime) end
    history_splits[name] = is_split
  end
  return is_split
end

local function history_path(hash)
  return string.format('%02x%02x%02x', string.byte(hash, 1, 3))
end

local function history_leaf(base, hash, lifetime)
  local path, depth = history_path(hash), 0
  while depth < history_deepest and history_is_split(base .. ':' .. string.sub(path, 1, depth), lifetime) do
    depth = depth + 1
  end
  return base .. ':' .. string.sub(path, 1, depth), depth
end

local function history_note(base, record)
  local noted = history_noted[base]
  if not noted then
    noted = {}
    history_noted[base] = noted
  end
  noted[#noted + 1] = record
end

-- Records by their buckets, each with its depth.
local function history_sorted(records, bucket_of)
  local below = {}
  for _, record in ipairs(records) do
    local name, depth = bucket_of(record)
    below[name] = below[name] or {depth = depth}
    table.insert(below[name], record)
  end
  return below
end

local function history_append(name, records, lifetime)
  local length = redis.call('RPUSH', name, unpack(records))
  history_keep(name, lifetime)
  return length
end

-- What does not fit into a bucket goes to sixteen, by one more digit of the hash.
local function history_split(base, name, depth, lifetime)
  local records = redis.call('LRANGE', name, 0, -1)
  redis.call('DEL', name)
  redis.call('RPUSH', name, '/')
  redis.call('PEXPIRE', name, lifetime)
  history_splits[name] = true
  local below = history_sorted(records, function(record)
    return base .. ':' .. string.sub(history_path(record), 1, depth + 1), depth + 1
  end)
  for child, some in pairs(below) do
    if history_append(child, some, lifetime) > history_full and depth + 1 < history_deepest then
      history_split(base, child, depth + 1, lifetime)
    end
  end
end

local function history_write(lifetime)
  for base, records in pairs(history_noted) do
    local below = history_sorted(records, function(record) return history_leaf(base, record, lifetime) end)
    for name, some in pairs(below) do
      if history_append(name, some, lifetime) > history_full and some.depth < history_deepest then
        history_split(base, name, some.depth, lifetime)
      end
    end
  end
end
