-- Says which batch of a partition is written next, before it is: whoever writes it, and again, writes the same.
--
-- KEYS     archive, what was trimmed
-- ARGV     after which entry the batch begins, its last entry
-- Answers  after which entry a batch begins, the last entry of the one that is written

redis.call('HSETNX', KEYS[1], 'begin', redis.call('GET', KEYS[2]) or '0-0')
local known = redis.call('HMGET', KEYS[1], 'position', 'plan')
local position = known[1] or '0-0'
if known[2] or position ~= ARGV[1] then return {position, known[2] or ''} end
redis.call('HSET', KEYS[1], 'plan', ARGV[2])
return {position, ARGV[2]}
