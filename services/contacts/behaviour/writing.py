"""The way of a batch of facts about one tenant, into rows, bits and counts.

    known ──→ who the recipients of messages are, and what their jobs are: what is not kept here is asked of Redis
    write ──→ contacts of addresses ──→ numbers of operations and words ──→ rows, of which some are new
                ──→ clicks that are a machine's after all ──→ bits ──→ counts ──→ recipients ──→ last interactions

`write` is in one transaction that holds the tenant. What is remembered of it is remembered once it has ended.
"""

from array import array
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from prometheus_client import Counter

from services.contacts.base.database import Database, Sql
from services.contacts.behaviour import batch, deeds, late, store
from services.contacts.behaviour.batch import Happened, Mark, Message, Row
from services.contacts.behaviour.deeds import Word
from services.contacts.behaviour.late import Click, Rule
from services.contacts.behaviour.operations import About
from services.contacts.behaviour.store import Addressed
from shared.net.remembered import Remembered
from shared.words.consent import MARKETING_STREAM
from shared.words.tokens import TRAP_POSITION

NOTED = Counter("estafette_contacts_behaviours_total", "What happened to contacts, or they did, noted once", ["kind"])
JUDGED = Counter("estafette_contacts_clicks_judged_total", "Clicks that were found out to be a machine's later")

#: Jobs, words and chunks of recipients that are remembered, of all tenants: 2 MB, 5 MB, and 1 kB each.
JOBS_KEPT = 20_000
WORDS_KEPT = 20_000
CHUNKS_KEPT = 8_192
#: Longer words are looked up each time.
_MAX_WORD_CHARS = 500
_IN_CHUNK = 1 << batch.CHUNK_BITS
#: In a chunk that is remembered: nothing is known.
_UNKNOWN = -1
_KINDS = {
    deeds.DELIVERED: "delivered",
    deeds.OPENED: "opened",
    deeds.CLICKED: "clicked",
    deeds.BOUNCED: "bounced",
    deeds.UNSUBSCRIBED: "unsubscribed",
    deeds.COMPLAINED: "complained",
    deeds.PAGE_SEEN: "page_seen",
    deeds.NAMED_EVENT: "event",
}
_noted = {kind: NOTED.labels(word) for kind, word in _KINDS.items()}


class Jobs(Protocol):
    async def about(self, jobs: Sequence[str]) -> dict[str, About]:
        """What is known of jobs. RedisAway."""
        ...


class Operation(NamedTuple):
    """The number of a job's operation, None before it has one, and whether other jobs share it."""

    number: int | None
    about: About


class Known(NamedTuple):
    """What is known before a batch is written: whose messages are (0: nobody's), and the operations of its jobs."""

    recipients: Mapping[Message, int]
    operations: Mapping[str, Operation]

    def is_test(self, job: str) -> bool:
        return job in self.operations and self.operations[job].about.test


class Written(NamedTuple):
    """What may be remembered once it is written."""

    recipients: Mapping[Message, int]
    operations: Mapping[str, Operation]
    words: Mapping[Word, int]
    new: Sequence[Row]
    judged: int


class Behaviour:
    """Of all tenants, which are numbers here. Everything raises DatabaseAway."""

    def __init__(self, database: Database, jobs: Jobs, rule: Rule) -> None:
        self._database = database
        self._ask = jobs
        self._rule = rule
        self._jobs = Remembered[tuple[int, str], Operation](JOBS_KEPT)
        self._words = Remembered[tuple[int, Word], int](WORDS_KEPT)
        self._chunks = Remembered[tuple[int, str, int], "array[int]"](CHUNKS_KEPT)

    async def known(self, of: int, facts: Sequence[Happened]) -> Known:
        """RedisAway besides: of jobs that are new here."""
        messages = {message for one in facts if (message := one.message) is not None}
        return Known(
            await self._recipients(of, messages), await self._operations(of, {one.job for one in facts if one.job})
        )

    async def _recipients(self, of: int, messages: Collection[Message]) -> dict[Message, int]:
        """Those that are known."""
        found: dict[Message, int] = {}
        unread = set()
        for message in messages:
            kept = self._chunks.known((of, *batch.chunk_of(message)))
            contact = _UNKNOWN if kept is None else kept[batch.place_of(message)]
            if contact > 0:
                found[message] = contact
            else:
                unread.add(batch.chunk_of(message))
        if unread:
            async with self._database.connection() as sql:
                read = await store.recipients(sql, of, unread)
            for key, contacts in read.items():
                known = array("i", [_UNKNOWN if one is None else one for one in contacts])
                known.extend([_UNKNOWN] * (_IN_CHUNK - len(known)))
                self._chunks.keep((of, *key), known)
            for message in messages - found.keys():
                kept = self._chunks.known((of, *batch.chunk_of(message)))
                if kept is not None and (contact := kept[batch.place_of(message)]) != _UNKNOWN:
                    found[message] = contact
        return found

    async def _operations(self, of: int, jobs: Collection[str]) -> dict[str, Operation]:
        found = {job: kept for job in jobs if (kept := self._jobs.known((of, job))) is not None}
        if missing := [job for job in jobs if job not in found]:
            async with self._database.connection() as sql:
                numbers = await store.jobs(sql, of, missing)
            for job, about in (await self._ask.about(missing)).items():
                found[job] = Operation(numbers.get(job), about)
                self._jobs.keep((of, job), found[job])
        return found

    async def write(
        self,
        sql: Sql,
        of: int,
        facts: Sequence[Happened],
        known: Known,
        addressed: Mapping[Message, str],
        found: Addressed,
    ) -> Written:
        """`addressed`: whose messages are that say no address and are not known; `found`: who has the addresses. The
        tenant is held."""
        others = {contact for contact in known.recipients.values() if contact > 0} - set(found.contacts.values())
        there = await store.existing(sql, of, others)
        meant = batch.meant(facts, known.recipients, addressed, found.contacts, there)
        kept = batch.to_keep(facts, known.recipients, addressed, found.contacts)
        operations = await self._numbered(sql, of, {one.happened.job for one in meant if one.happened.job}, known)
        numbers = {job: one.number for job, one in operations.items() if one.number is not None}
        words = await self._named(sql, of, batch.words(meant))
        new = await store.add(sql, of, batch.rows(meant, numbers, words))
        shared = {one.number for one in operations.values() if one.about.shared}
        machines, before = await self._judged(sql, of, new, shared)
        new = [row._replace(machine=True) if row in machines else row for row in new]
        marks = batch.marks(meant, numbers, words) | batch.trails(new)
        await store.mark(sql, of, marks)
        await store.part(sql, of, {one for one in batch.touched(marks) if one[0] not in shared})
        marketing = {numbers[job] for job, one in operations.items() if one.about.stream == MARKETING_STREAM}
        await store.tally(sql, of, batch.tallies(new, marketing))
        await _taken_back(sql, of, before)
        if kept:
            await store.keep_recipients(sql, of, kept)
        await store.acted(sql, of, batch.last_actions(meant))
        return Written(kept, operations, words, new, len(machines))

    def remember(self, of: int, written: Written) -> None:
        """Once the transaction has ended well."""
        for message, contact in written.recipients.items():
            if (kept := self._chunks.known((of, *batch.chunk_of(message)))) is not None:
                kept[batch.place_of(message)] = contact
        for job, operation in written.operations.items():
            self._jobs.keep((of, job), operation)
        for word, number in written.words.items():
            if len(word.text) <= _MAX_WORD_CHARS:
                self._words.keep((of, word), number)
        for row in written.new:
            _noted[row.kind].inc()
        JUDGED.inc(written.judged)

    async def _numbered(self, sql: Sql, of: int, jobs: Collection[str], known: Known) -> dict[str, Operation]:
        """The operations of these jobs, each with its number."""
        found = {job: known.operations[job] for job in jobs}
        if new := {job: one.about for job, one in found.items() if one.number is None}:
            for job, number in (await store.add_jobs(sql, of, new)).items():
                found[job] = Operation(number, new[job])
        return found

    async def _named(self, sql: Sql, of: int, words: Sequence[Word]) -> dict[Word, int]:
        found = {word: kept for word in words if (kept := self._words.known((of, word))) is not None}
        if missing := [word for word in words if word not in found]:
            found |= await store.names(sql, of, missing)
        return found

    async def _judged(
        self, sql: Sql, of: int, new: Sequence[Row], shared: Collection[int | None]
    ) -> tuple[set[Row], list[Row]]:
        """The clicks that are a machine's because of what is new, as they were noted: all, and those that had been
        counted as a person's before."""
        windows = [window for row in new if (window := _window(self._rule, row)) is not None]
        if not windows:
            return set(), []
        clicks: dict[tuple[int, int], dict[Click, Row]] = defaultdict(dict)
        deliveries: dict[tuple[int, int], list[datetime]] = defaultdict(list)
        for row in await store.near(sql, of, windows, self._rule.before):
            where = row.contact, row.operation
            if row.kind == deeds.CLICKED:
                clicks[where][Click(row.event, row.at, row.position)] = row
            else:
                deliveries[where].append(row.at)
        machines: set[Row] = set()
        for where, there in clicks.items():
            found = late.judged(self._rule, there, deliveries[where], shared=where[1] in shared)
            machines |= {row for row in there.values() if row.event in found and not row.machine}
        if machines:
            await store.judge(sql, of, sorted(machines))
        return machines, sorted(machines - set(new))


def _window(rule: Rule, row: Row) -> tuple[int, int, datetime, datetime] | None:
    """Where to look for what a new row judges, or is judged by."""
    if not rule.judges or not row.operation:
        return None
    if row.kind == deeds.DELIVERED and rule.soon_ms:
        return row.contact, row.operation, row.at - late.KEEP, row.at + rule.before
    if row.kind == deeds.CLICKED and (not row.machine or row.position == TRAP_POSITION):
        return row.contact, row.operation, row.at - rule.before, row.at + late.KEEP
    return None


async def _taken_back(sql: Sql, of: int, clicks: Sequence[Row]) -> None:
    """Clicks that counted as a person's and are a machine's: their bits go unless another deed of a person left the
    same, and they count with machines alone."""
    if not clicks:
        return
    left: set[Mark] = set()
    for row in await store.by_people(sql, of, {(one.contact, one.operation) for one in clicks}):
        left |= _trail(row, machine=False)
    await store.unmark(sql, of, {mark for one in clicks for mark in _persons(one)} - left)
    await store.untally(
        sql,
        of,
        [(one.kind, 0, one.contact, deeds.seconds(one.at)) for one in clicks],
    )


def _persons(row: Row) -> Iterable[Mark]:
    """What it left that a machine does not."""
    return _trail(row, machine=False) - _trail(row, machine=True)


def _trail(row: Row, *, machine: bool) -> set[Mark]:
    return batch.trails([row._replace(machine=machine)])
