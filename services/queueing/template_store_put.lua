-- Writes a version of a template, if its head is what it was when this was decided, and the layout in which it stands
-- is there.
--
-- KEYS     templates, template, use
-- ARGV     name, the head before ('': there was none), how many there may be, the layout ('': none), the head, the
--          version's number and the version, by how much more is kept, then the numbers of versions that go
-- Answers  'put'; 'changed' (another head is there); 'full'; 'alone' (there is no such layout)

local before = redis.call('HGET', KEYS[1], ARGV[1]) or ''
if before ~= ARGV[2] then return 'changed' end
if ARGV[4] ~= '' and redis.call('HEXISTS', KEYS[1], ARGV[4]) == 0 then return 'alone' end
if before == '' then
  local number = redis.call('HLEN', KEYS[1]) - redis.call('HEXISTS', KEYS[1], '(last)')
  if number >= tonumber(ARGV[3]) then return 'full' end
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[5])
redis.call('HSET', KEYS[2], ARGV[6], ARGV[7])
redis.call('HINCRBY', KEYS[3], 'templates', ARGV[8])
for i = 9, #ARGV do redis.call('HDEL', KEYS[2], ARGV[i]) end
return 'put'
