-- Begins every script that changes who is on lists, behind `addressed_common.lua`; `members.py` has the rules. A script
-- gets the key of a tenant's lists in the partition, `lists`, as one of its KEYS; those of the maps follow from it.
--
--   members_join(lists, list, address, at_ms)   true if they were not on the list
--   members_leave(lists, list, address, at_ms)  true if they had not left it before
--   members_return(lists, list, address)        true if they had left it: now they neither joined nor left

local function members_map(lists, list, what)
  return lists .. ':' .. redis.sha1hex(list) .. ':' .. what
end

local function members_join(lists, list, address, at_ms)
  addressed_delete(members_map(lists, list, 'left'), address)
  local joined = members_map(lists, list, 'joined')
  if addressed_get(joined, address) then return false end
  redis.call('SADD', lists, list)
  return addressed_set(joined, address, at_ms)
end

local function members_leave(lists, list, address, at_ms)
  addressed_delete(members_map(lists, list, 'joined'), address)
  local left = members_map(lists, list, 'left')
  if addressed_get(left, address) then return false end
  redis.call('SADD', lists, list)
  return addressed_set(left, address, at_ms)
end

-- A list that nobody is on and nobody has left is not there.
local function members_tidy(lists, list)
  if redis.call('EXISTS', members_map(lists, list, 'joined'), members_map(lists, list, 'left')) == 0 then
    redis.call('SREM', lists, list)
  end
end

local function members_return(lists, list, address)
  if not addressed_delete(members_map(lists, list, 'left'), address) then return false end
  members_tidy(lists, list)
  return true
end
