"""What reports keep in Redis: one script that counts and acknowledges a batch, and the reads for the answers.

The script per entry, in this order:

1. XACK. What is not pending any more was applied before: nothing happens.
2. A job that is not kept any more is not brought back to life by a late click.
3. A record that is in the timeline already is the same fact, published twice: nothing happens. A message has at most
   `MOST_ALIKE` records of one kind (somebody's scanner may open a mail a thousand times a day); beyond, the event id is
   remembered for `REMEMBER_MS` instead, which is longer than anybody repeats.
4. The message's byte moves on as the table says, and the numbers of messages per byte move with it.
5. The counters: all of them, and those that are the first of their message, by bitmap.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from services.reports import state, timeline
from services.reports.job_report import FIELDS, Job
from services.reports.tally import Applied, Change, click_counter
from shared.redis import bus, jobs, keys
from shared.redis.redis import Client, Script, answer
from shared.redis.stops import Stop, StopList
from shared.words import content, ids
from shared.words.content import TrackedLink

MOST_ALIKE = 50
REMEMBER_MS = 2 * 86_400_000
_DAY_MS = 86_400_000
#: Jobs whose links are kept for the next time somebody asks.
LINKS_KEPT = 1_000

# KEYS: events, then what the entries point at (from 1). ARGV: group, transitions, codes to a state, bytes of a record,
# of its needle, most alike, lifetime of remembered ids, the entries as one msgpack list, then event id and record of
# each (they are bytes, which the cmsgpack of Redis does not read). An entry is [stream id, job (its hash; states and
# counts are the two keys after it; 0: nothing to count), ordinal, code, timeline, remembered ids, counters], a counter
# two elements: bitmap and name.
_APPLY = Script(
    """
local group, transitions, codes = ARGV[1], ARGV[2], tonumber(ARGV[3])
local record_bytes, needle_bytes, most_alike = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local exists, timelines, written, deltas = {}, {}, {}, {}
local counted, repeated, orphaned = 0, 0, 0

local function add(job, name, number)
  if not deltas[job] then deltas[job] = {} end
  deltas[job][name] = (deltas[job][name] or 0) + number
end

local function has(records, needle)
  local at = 0
  repeat at = string.find(records, needle, at + 1, true) until not at or at % record_bytes == 1
  return at
end

local function alike(records, needle)
  local place, kind = string.byte(needle, -2, -1)
  local number = 0
  for at = needle_bytes - 1, #records, record_bytes do
    local other, its_kind = string.byte(records, at, at + 1)
    if other == place and its_kind == kind then number = number + 1 end
  end
  return number
end

local function is_new(record, place, event, remembered)
  local records = timelines[place]
  if not records then records = redis.call('GET', KEYS[place]) or '' end
  timelines[place] = records
  local needle = string.sub(record, 1, needle_bytes)
  if has(records, needle) then return false end
  if #records >= most_alike * record_bytes and alike(records, needle) >= most_alike then
    local fresh = redis.call('SADD', KEYS[remembered], event) == 1
    redis.call('PEXPIRE', KEYS[remembered], ARGV[7])
    return fresh
  end
  timelines[place] = records .. record
  written[place] = true
  return true
end

local function move(job, ordinal, code)
  local byte = string.byte(redis.call('GETRANGE', KEYS[job + 1], ordinal, ordinal)) or 0
  local after = byte
  if code == 1 then
    if byte < 128 then after = byte + 128 end
  else
    local state = byte % 128
    after = byte - state + string.byte(transitions, state * codes + code + 1)
  end
  if after ~= byte then
    redis.call('SETRANGE', KEYS[job + 1], ordinal, string.char(after))
    if byte > 0 then add(job, 'state:' .. byte, -1) end
    add(job, 'state:' .. after, 1)
  end
end

for number, entry in ipairs(cmsgpack.unpack(ARGV[8])) do
  local id, job, ordinal, code, place, remembered, counters = unpack(entry)
  local event, record = ARGV[7 + number * 2], ARGV[8 + number * 2]
  if redis.call('XACK', KEYS[1], group, id) == 1 and job > 0 then
    if exists[job] == nil then exists[job] = redis.call('EXISTS', KEYS[job]) == 1 end
    if not exists[job] then
      orphaned = orphaned + 1
    elseif not is_new(record, place, event, remembered) then
      repeated = repeated + 1
    else
      counted = counted + 1
      move(job, ordinal, code)
      for i = 1, #counters, 2 do
        add(job, counters[i + 1] .. ':total', 1)
        if redis.call('SETBIT', KEYS[counters[i]], ordinal, 1) == 0 then
          add(job, counters[i + 1] .. ':unique', 1)
        end
      end
    end
  end
end
for place in pairs(written) do redis.call('SET', KEYS[place], timelines[place]) end
for job, names in pairs(deltas) do
  for name, number in pairs(names) do redis.call('HINCRBY', KEYS[job + 2], name, number) end
end
return {counted, repeated, orphaned}
"""
)

# KEYS: events. ARGV: stream ids. Answers for each id what XRANGE does.
_AT = Script(
    """
local found = {}
for i, id in ipairs(ARGV) do found[i] = redis.call('XRANGE', KEYS[1], id, id) end
return found
"""
)
_TRANSITIONS = state.transitions()
_encoder = msgspec.msgpack.Encoder()


class ReportStore:
    """The service's side: counts."""

    def __init__(self, client: Client, group: str = keys.GROUP_REPORTS) -> None:
        self._client = client
        self._group = group

    async def apply(self, partition: int, changes: Sequence[tuple[str, Change | None]]) -> Applied:
        """One script call. Raises RedisAway: it may have happened, and may be repeated."""
        names = _Names(keys.events(partition))
        entries = [_entry(names, partition, stream_id, change) for stream_id, change in changes]
        args: list[str | bytes | int] = [
            self._group, _TRANSITIONS, state.CODES, timeline.RECORD_BYTES, timeline.NEEDLE_BYTES, MOST_ALIKE,
            REMEMBER_MS, _encoder.encode(entries),
        ]  # fmt: skip
        for _, change in changes:
            args += [change.event, change.record] if change else [b"", b""]
        return Applied(*await _APPLY(self._client, names.all, args))


class _Names:
    """The keys of a script call, each once; `at` gives the place of the first of some that stand together."""

    def __init__(self, *first: str) -> None:
        self.all = list(first)
        self._places: dict[str, int] = {}

    def at(self, *names: str) -> int:
        place = self._places.get(names[0])
        if place is None:
            place = self._places[names[0]] = len(self.all) + 1
            self.all += names
        return place


def _entry(names: _Names, p: int, stream_id: str, change: Change | None) -> list[Any]:
    if change is None:
        return [stream_id, 0]
    job = change.job
    counters: list[Any] = []
    for counter in change.counters:
        counters += [names.at(keys.job_bitmap(p, job, counter)), counter]
    return [
        stream_id,
        names.at(keys.job(p, job), keys.job_states(p, job), keys.job_counts(p, job)),
        change.ordinal,
        change.code,
        names.at(keys.job_timeline(p, job, timeline.bucket_of(change.ordinal))),
        names.at(keys.reported(p, change.occurred_at // _DAY_MS)),
        counters,
    ]


class ReportReader:
    """The side of HTTP: reads. Every method raises RedisAway."""

    def __init__(self, client: Client, partitions: int) -> None:
        self._client: Any = client
        self._partitions = partitions
        self._links: OrderedDict[str, list[TrackedLink]] = OrderedDict()

    def _partition(self, job: str) -> int:
        return ids.job_partition(job, self._partitions)

    async def job(self, job: str) -> Job | None:
        """None if there is no such job."""
        found = await jobs.read(self._client, self._partitions, job, FIELDS)
        return Job.read(job, found) if found[jobs.TENANT] else None

    async def stop(self, names: Sequence[str]) -> tuple[str, Stop] | None:
        """The first of these stops that there is, with its name."""
        found = await StopList(self._client).some(names)
        return next(((name, stop) for name, stop in zip(names, found, strict=True) if stop is not None), None)

    async def links(self, job: str) -> list[TrackedLink]:
        """The tracked links of the job's content, which never changes; it may be large, so they are kept."""
        known = self._links.get(job)
        if known is None:
            packed = (await jobs.read(self._client, self._partitions, job, (jobs.CONTENT,)))[jobs.CONTENT]
            known = self._links[job] = content.decode(packed).links if packed else []
            if len(self._links) > LINKS_KEPT:
                self._links.popitem(last=False)
        return known

    async def counts(self, job: str) -> dict[str, bytes]:
        """The counters of a job by the names that `tally` lists."""
        found = await answer(self._client.hgetall(keys.job_counts(self._partition(job), job)))
        return {name.decode(): value for name, value in found.items()}

    async def clicked_any(self, job: str, positions: Iterable[int]) -> int:
        """In how many messages people clicked the link at one of these positions."""
        p = self._partition(job)
        names = [keys.job_bitmap(p, job, click_counter(position)) for position in positions]
        bitmaps = await asyncio.gather(*(answer(self._client.get(name)) for name in names))
        # Bit 0 is the first bit of the first byte: what counts is that bytes of one place meet.
        union = 0
        for bitmap in bitmaps:
            union |= int.from_bytes(bitmap or b"", "little")
        return union.bit_count()

    async def message(self, job: str, ordinal: int) -> tuple[int, list[timeline.Record]]:
        """The byte of a message, and what happened to it."""
        p = self._partition(job)
        byte, bucket = await asyncio.gather(
            answer(self._client.getrange(keys.job_states(p, job), ordinal, ordinal)),
            answer(self._client.get(keys.job_timeline(p, job, timeline.bucket_of(ordinal)))),
        )
        return byte[0] if byte else 0, list(timeline.unpack(bucket or b"", job, ordinal))

    async def details(self, job: str, stream_ids: Sequence[str]) -> list[bus.Entry | None]:
        """The events at these ids, None for each that is not retained any more."""
        if not stream_ids:
            return []
        found = await _AT(self._client, [keys.events(self._partition(job))], stream_ids)
        return [bus.entry(entries[0][0], _fields(entries[0][1])) if entries else None for entries in found]


def _fields(flat: Sequence[bytes]) -> dict[bytes, bytes]:
    return dict(zip(flat[::2], flat[1::2], strict=True))
