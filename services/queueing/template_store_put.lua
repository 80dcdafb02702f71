-- Writes a version of a template, if its head is what it was when this was decided.
--
-- KEYS     templates, template, use
-- ARGV     name, the head before ('': there was none), how many there may be, the head, the version's number and the
--          version, by how much more is kept, then the numbers of versions that go
-- Answers  'put'; 'changed' (another head is there); 'full'

local before = redis.call('HGET', KEYS[1], ARGV[1]) or ''
if before ~= ARGV[2] then return 'changed' end
if before == '' then
  local number = redis.call('HLEN', KEYS[1]) - redis.call('HEXISTS', KEYS[1], '(last)')
  if number >= tonumber(ARGV[3]) then return 'full' end
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[4])
redis.call('HSET', KEYS[2], ARGV[5], ARGV[6])
redis.call('HINCRBY', KEYS[3], 'templates', ARGV[7])
for i = 8, #ARGV do redis.call('HDEL', KEYS[2], ARGV[i]) end
return 'put'
