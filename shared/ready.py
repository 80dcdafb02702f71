"""The ready queues: messages wait by site, are leased to relays, and are recorded or put back.

What is where, all in the site's partition (`shared.keys` has the names):

    sites                  zset    sites with ready messages, scored by when they may be served next
    ready:<lane>:<site>    stream  the messages, lane 0 before lane 1; gone when empty
    leased:<relay>         hash    what a relay has in hand, by lease number
    relays                 zset    until when each relay's leases hold
    retry                  zset    messages that wait for their next attempt, by due time
    site:<site>            hash    `leased`: how many messages of the site are in hand, over all relays

A message is in exactly one of: a ready stream, one relay's hash, `retry`. Each script moves it from one to another, so
no crash loses or doubles it. A site is in `sites` if and only if it has ready messages and fewer than the limit in
hand; recording puts a site back that had reached its limit, so one slow site never fills the hands of a relay. Nor do
many: a site may have as many in hand as an eighth of what the asking relay has room for. So the first slow site takes
much, each further one less, and there is room for the next for as long as there can be.

A relay that stops asking for `lease_ms` is taken for dead, and the next relay that asks puts its messages back. The
time is the server's, so the clocks of hosts do not matter. When nobody asked for half a lease (the server was away),
all relays get a new lease first: those that live have outcomes to record. A relay that was stopped for longer
(`held_until`) must not send what it still has in hand: others may have it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from shared import events, keys
from shared.redis import Client, Script, answer

#: Lanes by stream: what people wait for goes before what was sent to many.
LANES = {"one_to_one": 0, "transactional": 0, "bulk": 1}
#: A site has at most this part of the room of the relay that asks. 8: one site alone has 1/9 of the relay in hand, and
#: 30 that are stuck leave 1/50 of it to the others.
SHARE = 8
#: How long the mark of an enqueued chunk stays: longer than a chunk can wait to be repeated.
ENQUEUED_MS = 7 * 24 * 3600 * 1000

# KEYS: mark, sites, wake. ARGV: mark's lifetime, prefix of ready, version, then lane, site, body of each message.
_ENQUEUE = Script(
    """
if not redis.call('SET', KEYS[1], '1', 'NX', 'PX', ARGV[1]) then return 0 end
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local fresh = 0
for i = 4, #ARGV, 3 do
  redis.call('XADD', ARGV[2] .. ARGV[i] .. ':' .. ARGV[i + 1], '*', 't', 'Ready', 'v', ARGV[3], 'b', ARGV[i + 2])
  fresh = fresh + redis.call('ZADD', KEYS[2], 'NX', now, ARGV[i + 1])
end
if fresh > 0 then redis.call('XADD', KEYS[3], 'MAXLEN', '1', '*', 'w', '1') end
return (#ARGV - 3) / 3
"""
)

_PUT_BACK = """
local function put_back(ready, site_prefix, sites, version, value, now)
  local lane, site, body = string.match(value, '^(%d)([^\\n]*)\\n(.*)$')
  redis.call('XADD', ready .. lane .. ':' .. site, '*', 't', 'Ready', 'v', version, 'b', body)
  redis.call('ZADD', sites, 'NX', now, site)
  if redis.call('HINCRBY', site_prefix .. site, 'leased', -1) <= 0 then redis.call('DEL', site_prefix .. site) end
end
"""

# KEYS: sites, retry, relays, leased of this relay, lease number. ARGV: relay, lease ms, limit, limit of a site,
# prefixes of ready, site and leased, version, room of the relay, its part for a site. Answers: how many this relay
# holds in all, ms until something is due, then number, site, body of each message leased now.
_LEASE = Script(
    _PUT_BACK
    + """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local limit, site_limit, ready, site_prefix = tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5], ARGV[6]
local seen = tonumber(redis.call('ZSCORE', KEYS[3], '(asked)') or now)
if now - seen > ARGV[2] / 2 then
  for _, relay in ipairs(redis.call('ZRANGE', KEYS[3], 0, -1)) do
    redis.call('ZADD', KEYS[3], now + ARGV[2], relay)
  end
end
redis.call('ZADD', KEYS[3], now + ARGV[2], ARGV[1], now, '(asked)')
for _, dead in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', now - 1, 'LIMIT', 0, 4)) do
  for _, value in ipairs(redis.call('HVALS', ARGV[7] .. dead)) do
    put_back(ready, site_prefix, KEYS[1], ARGV[8], value, now)
  end
  redis.call('DEL', ARGV[7] .. dead)
  redis.call('ZREM', KEYS[3], dead)
end
for _, member in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, 500)) do
  local lane, site, body = string.match(member, '^(%d)([^\\n]*)\\n(.*)$')
  redis.call('XADD', ready .. lane .. ':' .. site, '*', 't', 'Ready', 'v', ARGV[8], 'b', body)
  redis.call('ZADD', KEYS[1], 'NX', now, site)
  redis.call('ZREM', KEYS[2], member)
end
local answer, taken = {0, 0}, 0
if limit > 0 then
  for _, site in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, 100)) do
    if taken >= limit then break end
    local record = site_prefix .. site
    local most = math.min(site_limit, math.max(1, math.ceil((ARGV[9] - taken) / ARGV[10])))
    local room = math.min(limit - taken, most - tonumber(redis.call('HGET', record, 'leased') or 0))
    local before, left = taken, false
    for lane = 0, 1 do
      local stream = ready .. lane .. ':' .. site
      if room <= 0 then
        left = left or redis.call('EXISTS', stream) == 1
      else
        local entries = redis.call('XRANGE', stream, '-', '+', 'COUNT', room + 1)
        local count = math.min(#entries, room)
        for i = 1, count do
          local body = entries[i][2][6]
          local number = redis.call('INCR', KEYS[5])
          redis.call('HSET', KEYS[4], number, lane .. site .. '\\n' .. body)
          answer[#answer + 1] = number
          answer[#answer + 1] = site
          answer[#answer + 1] = body
        end
        if #entries > room then
          redis.call('XTRIM', stream, 'MINID', entries[room + 1][1])
          left = true
        elseif #entries > 0 then
          redis.call('DEL', stream)
        end
        taken, room = taken + count, room - count
      end
    end
    if taken > before then redis.call('HINCRBY', record, 'leased', taken - before) end
    if not left or tonumber(redis.call('HGET', record, 'leased') or 0) >= most then
      redis.call('ZREM', KEYS[1], site)
    else
      redis.call('ZADD', KEYS[1], now, site)
    end
  end
end
local due = now + ARGV[2]
for at, key in ipairs({KEYS[1], KEYS[2], KEYS[3]}) do
  local skipped = at == 3 and 1 or 0
  local first = redis.call('ZRANGE', key, skipped, skipped, 'WITHSCORES')
  if first[2] then due = math.min(due, tonumber(first[2])) end
end
answer[1] = redis.call('HLEN', KEYS[4])
answer[2] = math.max(0, due - now)
return answer
"""
)

# KEYS: leased of this relay, sites, retry, wake. ARGV: prefixes of ready and site, then number, due ms ('': done) and
# body of each message. Numbers that this relay no longer holds are passed over; answers how many.
_RECORD = Script(
    """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local counts, lost, fresh = {}, 0, 0
for i = 3, #ARGV, 3 do
  local value = redis.call('HGET', KEYS[1], ARGV[i])
  if not value then
    lost = lost + 1
  else
    redis.call('HDEL', KEYS[1], ARGV[i])
    local lane, site = string.match(value, '^(%d)([^\\n]*)\\n')
    counts[site] = (counts[site] or 0) + 1
    if ARGV[i + 1] ~= '' then
      redis.call('ZADD', KEYS[3], ARGV[i + 1], lane .. site .. '\\n' .. ARGV[i + 2])
      fresh = 1
    end
  end
end
for site, count in pairs(counts) do
  local record = ARGV[2] .. site
  if redis.call('HINCRBY', record, 'leased', -count) <= 0 then redis.call('DEL', record) end
  if redis.call('EXISTS', ARGV[1] .. '0:' .. site, ARGV[1] .. '1:' .. site) > 0 then
    fresh = fresh + redis.call('ZADD', KEYS[2], 'NX', now, site)
  end
end
if fresh > 0 then redis.call('XADD', KEYS[4], 'MAXLEN', '1', '*', 'w', '1') end
return lost
"""
)

# KEYS: leased of this relay, sites, wake, relays. ARGV: relay, prefixes of ready and site, version, numbers. Puts
# messages back that were not tried; with no numbers, all, and the relay is gone.
_RELEASE = Script(
    _PUT_BACK
    + """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local numbers = redis.call('HKEYS', KEYS[1])
if #ARGV > 4 then
  numbers = {}
  for i = 5, #ARGV do numbers[#numbers + 1] = ARGV[i] end
else
  redis.call('ZREM', KEYS[4], ARGV[1])
end
for _, number in ipairs(numbers) do
  local value = redis.call('HGET', KEYS[1], number)
  if value then
    redis.call('HDEL', KEYS[1], number)
    put_back(ARGV[2], ARGV[3], KEYS[2], ARGV[4], value, now)
  end
end
redis.call('XADD', KEYS[3], 'MAXLEN', '1', '*', 'w', '1')
return #numbers
"""
)


@dataclass(frozen=True)
class Lease:
    """One message in hand. `number` is unique in its partition."""

    partition: int
    number: int
    site: str
    body: bytes


@dataclass(frozen=True)
class Taken:
    """What a call of `lease` brought: the messages, how many the relay now holds in the partition, and in how many ms
    at the latest something more may be due."""

    leases: list[Lease]
    held: int
    due_in_ms: int


@dataclass(frozen=True)
class Recorded:
    """The end of a lease: with `retry_at` (ms) the message comes back as `body`, without it is done."""

    number: int
    retry_at: int | None = None
    body: bytes = b""


class ReadyQueues:
    """The scripts above, by partition. Each call is one round trip; RedisAway when it may or may not have happened."""

    def __init__(self, client: Client) -> None:
        self._client: Any = client

    async def enqueue(
        self, partition: int, job: str, first_ordinal: int, messages: Sequence[tuple[int, str, bytes]]
    ) -> None:
        """Adds (lane, site, Ready bytes), this partition's share of the chunk. A repeat adds nothing."""
        args: list[str | bytes | int] = [ENQUEUED_MS, keys.ready_prefix(partition), events.MAJOR_VERSION]
        for lane, site, body in messages:
            args += [lane, site, body]
        names = [keys.enqueued(partition, job, first_ordinal), keys.sites(partition), keys.wake(partition)]
        await _ENQUEUE(self._client, names, args)

    async def bury(self, lease: Lease, relay: str, reason: str) -> None:
        """Moves a message that cannot be read to the dead stream."""
        fields: Any = {"t": "Ready", "v": events.MAJOR_VERSION, "b": lease.body, "reason": reason, "origin": lease.site}
        await answer(self._client.xadd(keys.dead(keys.ready_prefix(lease.partition).rstrip(":")), fields))
        await self.record(lease.partition, relay, [Recorded(lease.number)])

    async def lease(
        self, partition: int, relay: str, lease_ms: int, limit: int, site_limit: int, room: int = 1_000_000
    ) -> Taken:
        """Up to `limit` messages of the sites that are due; renews the relay's lease on all that it holds. `site_limit`
        is over all relays; `room` is how many more this one could hold, over all partitions."""
        names = [
            keys.sites(partition),
            keys.retry(partition),
            keys.relays(partition),
            keys.leased(partition, relay),
            keys.lease_number(partition),
        ]
        prefixes = [keys.ready_prefix(partition), keys.site_prefix(partition), keys.leased_prefix(partition)]
        args: list[str | bytes | int] = [
            relay,
            lease_ms,
            limit,
            site_limit,
            *prefixes,
            events.MAJOR_VERSION,
            room,
            SHARE,
        ]
        found = await _LEASE(self._client, names, args)
        leases = [Lease(partition, found[at], found[at + 1].decode(), found[at + 2]) for at in range(2, len(found), 3)]
        return Taken(leases, found[0], found[1])

    async def held(self, partition: int, relay: str) -> list[Lease]:
        """All that the relay holds: what a lost answer of `lease` left in its name is found here."""
        found: dict[bytes, bytes] = await answer(self._client.hgetall(keys.leased(partition, relay)))
        leases = []
        for number, value in found.items():
            head, _, body = value.partition(b"\n")
            leases.append(Lease(partition, int(number), head[1:].decode(), body))
        return leases

    async def record(self, partition: int, relay: str, ends: Sequence[Recorded]) -> int:
        """Ends leases. Returns how many of them the relay had lost to another."""
        names = [keys.leased(partition, relay), keys.sites(partition), keys.retry(partition), keys.wake(partition)]
        args: list[str | bytes | int] = [keys.ready_prefix(partition), keys.site_prefix(partition)]
        for end in ends:
            args += [end.number, "" if end.retry_at is None else end.retry_at, end.body]
        return int(await _RECORD(self._client, names, args))

    async def release(self, partition: int, relay: str, numbers: Sequence[int] | None = None) -> None:
        """Puts messages back untried; with no numbers all of them, and the relay is known no more."""
        names = [keys.leased(partition, relay), keys.sites(partition), keys.wake(partition), keys.relays(partition)]
        prefixes = [keys.ready_prefix(partition), keys.site_prefix(partition)]
        if numbers is None or numbers:
            await _RELEASE(self._client, names, [relay, *prefixes, events.MAJOR_VERSION, *(numbers or ())])

    async def wait(self, partition: int, last_wake: str, at_most_ms: int) -> str:
        """Returns when the partition was woken since `last_wake`, or after `at_most_ms`; the wake's id."""
        found = await answer(self._client.xread({keys.wake(partition): last_wake}, count=1, block=max(1, at_most_ms)))
        return found[0][1][-1][0].decode() if found else last_wake
