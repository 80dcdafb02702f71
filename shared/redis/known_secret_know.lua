-- The fingerprint that is stored, which is the caller's if there was none, or that of a predecessor of its secret.
--
-- KEYS     the fingerprint
-- ARGV     the fingerprint of this secret, then those of its predecessors
-- Answers  the one that is stored

local stored = redis.call('GET', KEYS[1])
for i = 2, #ARGV do
  if stored == ARGV[i] then stored = false end
end
if not stored then
  redis.call('SET', KEYS[1], ARGV[1])
  stored = ARGV[1]
end
return stored
