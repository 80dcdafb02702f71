-- Stores a batch of facts, once under a repeat (the mark), and of each message one final fact (the bitmap).
--
-- KEYS     stream, the batch's mark, then bitmaps of jobs
-- ARGV     mark's lifetime ms, version, then of each fact its name, its bytes, the index of its bitmap in KEYS (0: it
--          ends nothing) and its ordinal
-- Answers  how many were stored

if not redis.call('SET', KEYS[2], '1', 'NX', 'PX', ARGV[1]) then return 0 end
local stored = 0
for i = 3, #ARGV, 4 do
  local bitmap = tonumber(ARGV[i + 2])
  if bitmap == 0 or redis.call('SETBIT', KEYS[bitmap], ARGV[i + 3], 1) == 0 then
    redis.call('XADD', KEYS[1], '*', 't', ARGV[i], 'v', ARGV[2], 'b', ARGV[i + 1])
    stored = stored + 1
  end
end
return stored
