-- Begins the scripts that count connections: the time is the server's, so that leases end at the same moment for all.
-- `shares` says how many slots each owner has; a slot is named `<owner>/<number>`.

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local function shares(key)
  local of = {}
  for _, member in ipairs(redis.call('ZRANGE', key, 0, -1)) do
    local owner = string.match(member, '^(.*)/')
    of[owner] = (of[owner] or 0) + 1
  end
  return of
end
