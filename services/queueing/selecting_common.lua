-- Begins the scripts that give recipients to a job that selects them: as one more chunk, which waits to be queued.
--
-- A chunk is written as `recipients.Chunk` is: [uint32 first ordinal, false, bin32 of an array16 of recipients].
--
--   is_full(intake, intake_use, tenant, most, most_ahead)   whether too much waits to be queued
--   add(keys, tenant, head, version, first, rows, count)    `keys`: job, recipients, use, intake, intake_use; `rows`:
--                                                           the recipients, without what an array begins with

local function is_full(intake, intake_use, tenant, most, most_ahead)
  return redis.call('XLEN', intake) >= tonumber(most)
    or tonumber(redis.call('HGET', intake_use, tenant) or 0) >= tonumber(most_ahead)
end

local function add(keys, tenant, head, version, first, rows, count)
  local body = '\220' .. struct.pack('>I2', count) .. rows
  local chunk = '\147\206' .. struct.pack('>I4', first) .. '\194\198' .. struct.pack('>I4', #body) .. body
  redis.call('ZADD', keys[2], first, chunk)
  redis.call('XADD', keys[4], '*', 't', 'Intake', 'v', version, 'b', head .. '\206' .. struct.pack('>I4', first))
  redis.call('HINCRBY', keys[5], tenant, 1)
  redis.call('HINCRBY', keys[1], JOB.held, #chunk)
  redis.call('HINCRBY', keys[3], 'bytes', #chunk)
  redis.call('HINCRBY', keys[1], JOB.total, count)
end
