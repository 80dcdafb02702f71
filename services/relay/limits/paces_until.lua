-- Makes a rest, or a single connection, last until then. Never shortens: relays may learn of the same refusal in any
-- order.
--
-- KEYS     changes, rests or single connections
-- ARGV     pair, until ms
-- Answers  0

if tonumber(redis.call('HGET', KEYS[2], ARGV[1]) or 0) < tonumber(ARGV[2]) then
  redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
  redis.call('INCR', KEYS[1])
end
return 0
