-- Whose data this is; at the first start of all, ours. In one step: of processes that start together the first decides.
--
-- KEYS     the installation's hash, partitions
-- ARGV     number of partitions, new id, id that is remembered or '', schema of the program that asks
-- Answers  id, partitions, '1' if every partition has the id, 1 if it was accepted for what is remembered, and the
--          schema of the data as it was found

local id = redis.call('HGET', KEYS[1], 'id')
if not id then
  if ARGV[3] ~= '' then return {'', '', '', 0, ARGV[4]} end
  id = ARGV[2]
  redis.call('HSET', KEYS[1], 'id', id, 'schema', ARGV[4])
end
local schema = tonumber(redis.call('HGET', KEYS[1], 'schema') or 0)
local also = redis.call('HEXISTS', KEYS[1], 'also:' .. ARGV[3])
if ARGV[3] == '' or ARGV[3] == id or also == 1 then
  redis.call('SET', KEYS[2], ARGV[1], 'NX')
  if schema < tonumber(ARGV[4]) then redis.call('HSET', KEYS[1], 'schema', ARGV[4]) end
end
return {id, redis.call('GET', KEYS[2]) or '', redis.call('HGET', KEYS[1], 'whole') or '', also, schema}
