-- Asks relays for the dialogues of the next sessions with a site; what was asked of that site before is over.
--
-- KEYS     all that is asked for, sessions that were taken
-- ARGV     site, request, lifetime ms of both
-- Answers  nothing

redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('SET', KEYS[2], 0, 'PX', ARGV[3])
return nil
