-- Revokes a generation of a tenant's link keys, or takes that back.
--
-- KEYS     hash of generations
-- ARGV     tenant and /, the generation, since when (ms) it is revoked; 0: it is not any more
-- Answers  'unknown' if it has not begun, 'signs' if new links are signed with it, else 'done'

local current = tonumber(redis.call('HGET', KEYS[1], ARGV[1] .. 'current') or 1)
if tonumber(ARGV[2]) > current then return 'unknown' end
local field, changed = ARGV[1] .. 'revoked/' .. ARGV[2], 0
if ARGV[3] == '0' then
  changed = redis.call('HDEL', KEYS[1], field)
elseif tonumber(ARGV[2]) == current then
  return 'signs'
else
  changed = redis.call('HSETNX', KEYS[1], field, ARGV[3])
end
if changed == 1 then redis.call('HINCRBY', KEYS[1], 'version', 1) end
return 'done'
