-- Removes a template with its versions, if its head is what it was when this was decided, and no other stands in it.
-- Numbers go on behind its own.
--
-- KEYS     templates, template, use
-- ARGV     name, its head, how many bytes are kept less, the number of its newest version
-- Answers  1 if it was removed, 0 if another head is there, or the names of those that stand in it

if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end

-- A head is an array of versions, digest, subject and layout, with more behind; the digest takes 18 bytes, and is of a
-- kind that cmsgpack does not read.
local function layout(head)
  local behind_versions = cmsgpack.unpack_one(head, 1)
  local behind_subject = cmsgpack.unpack_one(head, behind_versions + 18)
  local _, name = cmsgpack.unpack_one(head, behind_subject)
  return name
end

local heads, users = redis.call('HGETALL', KEYS[1]), {}
for i = 1, #heads, 2 do
  if heads[i] ~= '(last)' and layout(heads[i + 1]) == ARGV[1] then users[#users + 1] = heads[i] end
end
if #users > 0 then return users end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('UNLINK', KEYS[2])
redis.call('HINCRBY', KEYS[3], 'templates', -tonumber(ARGV[3]))
local last = tonumber(redis.call('HGET', KEYS[1], '(last)') or 0)
if tonumber(ARGV[4]) > last then redis.call('HSET', KEYS[1], '(last)', ARGV[4]) end
return 1
