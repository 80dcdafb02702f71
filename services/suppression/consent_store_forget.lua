-- Forgets what an address has agreed to, and the proof of it.
--
-- KEYS     the map of states, the log
-- ARGV     address
-- Answers  how many lines of proof there were

addressed_delete(KEYS[1], ARGV[1])
local lines = redis.call('LLEN', KEYS[2])
redis.call('DEL', KEYS[2])
return lines
