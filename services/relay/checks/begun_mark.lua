-- Marks attempts as begun, of several jobs of a partition: one round trip before the final dots of many mails.
--
-- KEYS     the strings of jobs
-- ARGV     of each mark the index of its string in KEYS, the ordinal, the byte
-- Answers  how many

for i = 1, #ARGV, 3 do redis.call('SETRANGE', KEYS[tonumber(ARGV[i])], ARGV[i + 1], ARGV[i + 2]) end
return #ARGV / 3
