"""The events of a tenant, page by page, from the streams of all partitions.

A page is read in rounds. In each round every partition is read from where the cursor stands, a bounded number of
entries; what has been read completely up to a moment (the horizon: the last entry of the partition that has more) is
merged in the order of the streams' clocks. The cursor then stands, in each partition, at the last entry that was looked
at, whether it was wanted or not. So nothing is skipped or shown twice, and the next page goes on where this one ended.

Rounds follow each other until the page has its limit, until the streams end, or until the budget is used up: a filter
that matches little gets ahead, nobody gets a page with nothing on it while there is something a second away, and no
request lasts for ever. Between two rounds the others have their turn.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Protocol

import msgspec

from services.reports import cursor
from services.reports.cursor import Position
from shared.redis import bus, keys
from shared.redis.recipients import Recipient
from shared.redis.redis import Client
from shared.redis.suppression import normalised
from shared.words import events, ids, public

#: No round begins later than this after the page was asked for. Callers wait ten seconds and more.
BUDGET_S = 2.0
#: Entries of one round over all partitions; each is about 300 bytes.
MOST_ENTRIES = 4_000
#: With a recipient asked for: facts that name the message alone need a look-up each.
MOST_ENTRIES_OF_RECIPIENT = 1_600
#: Entries of one partition in one round: first twice what is asked for, then twice as many each time, between these.
SMALLEST_ROUND = 50
LARGEST_ROUND = 500
#: Jobs whose recipients are looked up at a time.
JOBS_AT_ONCE = 50


class Wanted(NamedTuple):
    """Which events: of the tenant; of these types, of that job, about that address (normalised), where not None."""

    tenant: str
    types: frozenset[str] | None = None
    job: str | None = None
    email: str | None = None


class Page(NamedTuple):
    """`more`: there is more already. The cursor is good in either case."""

    events: list[public.Event]
    positions: list[Position]
    more: bool


class Recipients(Protocol):
    async def find(self, job: str, ordinals: Sequence[int]) -> dict[int, Recipient]: ...


class Head(msgspec.Struct, frozen=True, array_like=True):
    """The fields that all facts share, in their order: enough to pass over what is not wanted."""

    event_id: str
    occurred_at: int
    tenant: str
    job: str = ""
    ordinal: int | None = None
    sequence: int = 0
    email: str | None = None


class Seen(NamedTuple):
    """An entry and where it is; in the order of time."""

    at: Position
    partition: int
    entry: bus.Entry


_head_decoder = msgspec.msgpack.Decoder(Head)


class EventLog:
    """`monotonic` is a clock in seconds."""

    def __init__(self, client: Client, partitions: int, recipients: Recipients, monotonic: Callable[[], float]) -> None:
        self._client = client
        self._partitions = partitions
        self._recipients = recipients
        self._monotonic = monotonic

    async def page(self, wanted: Wanted, after: Sequence[Position], limit: int) -> Page:
        """At most `limit` events after those positions, in the order of time; fewer only where there are no more, or
        the budget is used up. Raises RedisAway."""
        partitions = range(self._partitions)
        if wanted.job is not None:
            partitions = range(p := ids.job_partition(wanted.job, self._partitions), p + 1)
        most = MOST_ENTRIES if wanted.email is None else MOST_ENTRIES_OF_RECIPIENT
        largest = max(1, min(LARGEST_ROUND, most // len(partitions)))
        count = min(max(SMALLEST_ROUND, 2 * limit), largest)
        deadline_s = self._monotonic() + BUDGET_S
        positions = list(after)
        facts: list[events.Fact] = []
        more, is_full, is_late = True, False, False
        while more and not is_full and not is_late:
            batches = await asyncio.gather(*(self._read(p, positions[p], count) for p in partitions))
            more = any(len(batch) == count for batch in batches)
            for seen, fact in await self._pick(_merged(batches, count), wanted):
                # One beyond the limit is looked for: so `more` is no guess, and a last page is never an empty one.
                if is_full := fact is not None and len(facts) == limit:
                    more = True
                    break
                facts += [fact] if fact is not None else []
                positions[seen.partition] = seen.at
            count = min(2 * count, largest)
            is_late = self._monotonic() >= deadline_s
        facts.sort(key=lambda fact: fact.occurred_at)
        emails = await self._emails(fact for fact in facts if fact.email is None)
        return Page([public.event(fact, emails.get((fact.job, fact.ordinal))) for fact in facts], positions, more)

    async def _read(self, partition: int, after: Position, count: int) -> list[Seen]:
        found = await self._client.xrange(keys.events(partition), f"({cursor.stream_id(after)}", "+", count=count)
        return [
            Seen(cursor.position(number.decode()), partition, bus.entry(number, fields)) for number, fields in found
        ]

    async def _pick(self, merged: Sequence[Seen], wanted: Wanted) -> list[tuple[Seen, events.Fact | None]]:
        """Each entry, with its fact if it is wanted."""
        heads = [_head(seen.entry, wanted) for seen in merged]
        if wanted.email is not None:
            emails = await self._emails(head for head in heads if head is not None and head.email is None)
            heads = [
                head
                if head and normalised(head.email or emails.get((head.job, head.ordinal), "")) == wanted.email
                else None
                for head in heads
            ]
        return [(seen, None if head is None else _fact(seen.entry)) for seen, head in zip(merged, heads, strict=True)]

    async def _emails(self, nameless: Iterable[Head | events.Fact]) -> dict[tuple[str, int | None], str]:
        """The recipients' addresses by job and ordinal."""
        ordinals: dict[str, list[int]] = defaultdict(list)
        for one in nameless:
            if one.job and one.ordinal is not None:
                ordinals[one.job].append(one.ordinal)
        emails: dict[tuple[str, int | None], str] = {}
        jobs = list(ordinals)
        for start in range(0, len(jobs), JOBS_AT_ONCE):
            some = jobs[start : start + JOBS_AT_ONCE]
            answers = await asyncio.gather(*(self._recipients.find(job, ordinals[job]) for job in some))
            for job, found in zip(some, answers, strict=True):
                emails.update({(job, ordinal): recipient.email for ordinal, recipient in found.items()})
        return emails


def _merged(batches: Sequence[Sequence[Seen]], count: int) -> list[Seen]:
    """In the order of time, up to the moment until which every partition is known."""
    horizon = min((batch[-1].at for batch in batches if len(batch) == count), default=None)
    return sorted(seen for batch in batches for seen in batch if horizon is None or seen.at <= horizon)


def _head(entry: bus.Entry, wanted: Wanted) -> Head | None:
    """The head of an entry that is wanted, as far as the entry itself can tell; None of any other."""
    if entry.version != events.MAJOR_VERSION or entry.name not in events.FACTS:
        return None
    if wanted.types is not None and entry.name not in {public.TYPES[word] for word in wanted.types}:
        return None
    try:
        head = _head_decoder.decode(entry.body)
    except msgspec.DecodeError:
        return None
    if head.tenant != wanted.tenant or (wanted.job is not None and head.job != wanted.job):
        return None
    if wanted.types is not None and public.type_of(entry.name, head.job) not in wanted.types:
        return None
    return head


def _fact(entry: bus.Entry) -> events.Fact | None:
    """None if this version cannot read it: the pages go on."""
    try:
        message = entry.message()
    except bus.DeadLetter:
        return None
    return message if isinstance(message, events.Fact) else None
