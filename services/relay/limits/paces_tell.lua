-- What this relay saw, told to the others.
--
-- KEYS     changes
-- ARGV     prefix of attempts, ms of a bucket, lifetime ms, msgpack of [pair, accepted, refused] each
-- Answers  the time, and the number of changes: whoever knows a smaller one reads them

tell(ARGV[1], ARGV[2], ARGV[3], cmsgpack.unpack(ARGV[4]))
return {now, tonumber(redis.call('GET', KEYS[1]) or 0)}
