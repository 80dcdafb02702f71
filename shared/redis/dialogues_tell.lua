-- Puts lines where whoever asked reads them.
--
-- KEYS     lines of a request
-- ARGV     most lines, lifetime ms, lines
-- Answers  how many

for i = 3, #ARGV do
  redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'l', ARGV[i])
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return #ARGV - 2
