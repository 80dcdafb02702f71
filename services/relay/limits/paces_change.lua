-- Writes a pace if it is still the one that the decision was made on: of relays refused at the same moment one
-- decreases it, and the others find it decreased.
--
-- KEYS     changes, paces
-- ARGV     pair, pace before, pace after ('' for none)
-- Answers  1 if it was as before, else 0

if (redis.call('HGET', KEYS[2], ARGV[1]) or '') ~= ARGV[2] then return 0 end
if ARGV[3] == '' then redis.call('HDEL', KEYS[2], ARGV[1]) else redis.call('HSET', KEYS[2], ARGV[1], ARGV[3]) end
redis.call('INCR', KEYS[1])
return 1
