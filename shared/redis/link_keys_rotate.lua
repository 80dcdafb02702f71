-- Begins a new generation of a tenant's link keys.
--
-- KEYS     hash of generations
-- ARGV     tenant and /, now (ms), the highest number
-- Answers  the number of the new one; 0 if there is no room for another

local current = tonumber(redis.call('HGET', KEYS[1], ARGV[1] .. 'current') or 1)
if current >= tonumber(ARGV[3]) then return 0 end
local begun = string.format('%d', current + 1)
redis.call('HSET', KEYS[1], ARGV[1] .. 'current', begun, ARGV[1] .. 'begun/' .. begun, ARGV[2])
redis.call('HINCRBY', KEYS[1], 'version', 1)
return current + 1
