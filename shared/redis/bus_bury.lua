-- Moves an entry to the dead stream: it is in one of the two, and never in both.
--
-- KEYS     stream, dead stream
-- ARGV     group, stream id, 1 if it is to be deleted, then the fields of the dead entry
-- Answers  1, or 0 if it was acknowledged already

if redis.call('XACK', KEYS[1], ARGV[1], ARGV[2]) == 0 then return 0 end
redis.call('XADD', KEYS[2], '*', unpack(ARGV, 4))
if ARGV[3] == '1' then redis.call('XDEL', KEYS[1], ARGV[2]) end
return 1
