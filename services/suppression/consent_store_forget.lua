-- Forgets what an address has agreed to, and the proof of it.
--
-- KEYS     the map of states, the log
-- ARGV     address
-- Answers  1 if there was anything, else 0

local was_known = addressed_delete(KEYS[1], ARGV[1])
local was_proved = redis.call('DEL', KEYS[2]) == 1
return (was_known or was_proved) and 1 or 0
