-- Takes the messages of an address out, by the hash of it: those of jobs that were made until then.
--
-- KEYS     the base of each window
-- ARGV     the last id, in bytes, that such a job can have; then each hash of the address
-- Answers  how many were taken out

local last, gone = ARGV[1], 0
for _, base in ipairs(KEYS) do
  for i = 2, #ARGV do
    local hash, name = ARGV[i], (history_leaf(base, ARGV[i]))
    for _, record in ipairs(redis.call('LRANGE', name, 0, -1)) do
      if string.sub(record, 1, #hash) == hash and string.sub(record, #hash + 1, #hash + #last) <= last then
        gone = gone + redis.call('LREM', name, 1, record)
      end
    end
  end
end
return gone
