"""The messages of a tenant, page by page: to an address, of a job, made in some time, in a state, with some metadata.

Those of the latest job come first, in a job by ordinal. To an address they are found by its history
(`shared.redis.histories`); of jobs, by the lists of jobs and the state of each of their messages. Metadata has no
index: each recipient is looked at, of an address, of a job or of jobs made in some time.

A page is full, or ends where there is no more. Only a search that finds little in very much ends with what it has,
after `BUDGET_S`; `next` goes on behind the last one that was looked at.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from datetime import datetime
from typing import Annotated, NamedTuple
from zlib import crc32

import msgspec
from prometheus_client import Histogram

from shared.http import paging
from shared.http.query import Read, Words
from shared.mail import addresses
from shared.redis import histories, jobs, keys, recipients
from shared.redis.commands import Pipeline
from shared.redis.histories import Histories
from shared.redis.jobs import Job
from shared.redis.recipients import Recipient
from shared.redis.redis import Client, answer
from shared.redis.suppression import normalised
from shared.words import ids
from shared.words.described import says
from shared.words.erased import ErasureKeys
from shared.words.errors import Fault, Problem
from shared.words.standing import WORDS, word
from shared.words.times import rfc3339

PAGE_SECONDS = Histogram(
    "estafette_reports_messages_page_seconds",
    "Time to put a page of messages together",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
)

#: Nothing is read any more for a page that has taken so long. Callers wait ten seconds and more.
BUDGET_S = 2.0
#: Windows of a history that are read together: four months, in most installations all.
WINDOWS_TOGETHER = 5
#: Jobs that are listed together, and messages of one whose states are read at a time.
JOBS_TOGETHER = 100
BLOCK = 1_000
#: Messages that are looked at together where their metadata decides.
TOGETHER = 500
#: And so many more than are shown, where some may be gone.
SPARE = 8
#: Other clocks may be ahead by so much.
AHEAD_MS = 86_400_000

_JOB = "068vjfm5s9m2rc1jqqrg"
_CURSOR = "k84RgmqAtDA2OHZqZm01czltMnJjMWpxcXJnAA"
STATES = ("waiting", *dict.fromkeys(WORDS.values()))
_SHOWN = (jobs.TENANT, jobs.STREAM, jobs.SUBJECT, jobs.LIST, jobs.TAGS)


class Place(NamedTuple):
    """A message; -1 is before the first one of a job."""

    job: str
    ordinal: int

    def is_behind(self, other: "Place") -> bool:
        """In the order of the list."""
        return self.job < other.job or (self.job == other.job and self.ordinal > other.ordinal)


def _job_id(text: str) -> str:
    if not ids.is_job_id(text):
        raise ValueError("not the id of a job")
    return text


def _address(text: str) -> str:
    try:
        return normalised(addresses.parse(text).key)
    except addresses.InvalidAddress as fault:
        raise ValueError(f"not an address: {fault}") from None


def pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise ValueError("expected a name and a value with `=` between, such as crm_id=17")
    return name, value


class MessageQuery(msgspec.Struct, frozen=True):
    """Which messages are listed: all that is said holds."""

    after: Annotated[str, paging.after(_CURSOR)] = ""
    limit: Annotated[int, paging.limit()] = paging.DEFAULT_LIMIT
    recipient: Annotated[str | None, says("To this address only.", "ana@exemple.fr"), Read(_address)] = None
    job: Annotated[str | None, says("Of this job only.", _JOB), Read(_job_id)] = None
    state: Annotated[frozenset[str] | None, says("In these states only.", ["bounced"]), Words(STATES)] = None
    metadata: Annotated[
        tuple[str, str] | None,
        says("Whose recipient has that metadata; beside `recipient`, `job` or `since` only.", "crm_id=17"),
        Read(pair),
    ] = None
    since: Annotated[datetime | None, says("Of jobs made then or later.", "2026-01-31T09:00:00Z")] = None
    until: Annotated[datetime | None, says("Of jobs made before then.", "2026-02-01T00:00:00Z")] = None


class MessageListed(msgspec.Struct, frozen=True, kw_only=True):
    """A message as lists show it; GET /v1/messages/{message} has what happened to it."""

    id: Annotated[str, says("The id of the message.", f"{_JOB}.0")]
    job: Annotated[str, says("The id of its job.", _JOB)]
    created_at: Annotated[str, says("When its job was made.", "2026-01-31T09:05:00.123Z")]
    email: Annotated[str, says("The recipient's address; empty if it was erased.", "ana@exemple.fr")]
    metadata: Annotated[dict[str, str], says("What the job said to keep with the recipient.", {"crm_id": "17"})]
    state: Annotated[
        str,
        says("How far it is, or its end.", "delivered", schema={"enum": list(STATES)}),
    ]
    stream: Annotated[str, says("The kind of mail: `bulk`, `transactional` or `one_to_one`.", "bulk")]
    subject: Annotated[str, says("The subject of its job, as it was written.", "Bonjour {{ prenom }}")]
    list: Annotated[str | None, says("The list of its job.", "newsletter")]
    tags: Annotated[tuple[str, ...], says("The tags of its job.", ["soldes"])]


class MessagePage(msgspec.Struct, frozen=True):
    """`next` is what `after` takes to go on; null at the end."""

    messages: Annotated[list[MessageListed], says("The messages of this page, those of the latest job first.")]
    next: Annotated[str | None, paging.following(_CURSOR)]


class _Candidate(NamedTuple):
    """A message that may be wanted, and its byte if it is known."""

    place: Place
    state: int | None = None


class _Batch(NamedTuple):
    """Candidates in the order of the list, and the place up to which there is none beside them."""

    candidates: list[_Candidate]
    reached: Place


class MessageList:
    """`now_ms` is the clock, `monotonic` one in seconds. `page` raises RedisAway."""

    def __init__(
        self,
        client: Client,
        partitions: int,
        sent: Histories,
        secrets: ErasureKeys,
        now_ms: Callable[[], int],
        monotonic: Callable[[], float],
    ) -> None:
        self._client = client
        self._partitions = partitions
        self._histories = sent
        self._secrets = secrets
        self._now_ms = now_ms
        self._monotonic = monotonic

    async def page(self, tenant: str, query: MessageQuery) -> MessagePage:
        """Of that tenant. Problem 422 where metadata would be looked for in everything; InvalidCursor."""
        if query.metadata and not (query.job or query.recipient or query.since):
            fault = Fault("?metadata", "there is no index of metadata: send recipient, job or since beside it")
            raise Problem("invalid_query", "the query does not fit", [fault])
        with PAGE_SECONDS.time():
            return await self._page(tenant, query, unpacked(query.after, tenant) if query.after else None)

    async def _page(self, tenant: str, query: MessageQuery, after: Place | None) -> MessagePage:
        deadline_s = self._monotonic() + BUDGET_S
        found: list[MessageListed] = []
        batches = self._of_recipient(tenant, query, after) if query.recipient else self._of_jobs(tenant, query, after)
        async for batch in batches:
            candidates = batch.candidates
            while candidates:
                together = TOGETHER if query.metadata else query.limit + 1 - len(found) + SPARE
                some, candidates = candidates[:together], candidates[together:]
                found += await self._looked_at(tenant, query, some)
                if len(found) > query.limit:
                    shown = found[: query.limit]
                    return MessagePage(shown, packed(Place(*ids.split_message_id(shown[-1].id)), tenant))
                if self._monotonic() >= deadline_s:
                    return MessagePage(found, packed(some[-1].place if candidates else batch.reached, tenant))
            if self._monotonic() >= deadline_s:
                return MessagePage(found, packed(batch.reached, tenant))
        return MessagePage(found, None)

    async def _of_recipient(self, tenant: str, query: MessageQuery, after: Place | None) -> AsyncIterator[_Batch]:
        """The latest windows first."""
        now_ms, since_ms, until_ms = self._now_ms(), _ms(query.since) or 0, _ms(query.until)
        first = max(self._histories.first_window(now_ms), histories.window_of(since_ms))
        last = histories.window_of(now_ms + AHEAD_MS if until_ms is None else until_ms)
        if after is not None:
            last = min(last, histories.window_of(ids.job_created_ms(after.job)))
        partitions: Sequence[int] = range(self._partitions)
        if query.job is not None:
            partitions = [ids.job_partition(query.job, self._partitions)]
            first = last = histories.window_of(ids.job_created_ms(query.job))
        digests = self._secrets.digests(tenant, query.recipient or "")
        while last >= first:
            low = max(first, last - WINDOWS_TOGETHER + 1)
            places = [
                Place(*one) for one in await self._histories.find(tenant, digests, range(low, last + 1), partitions)
            ]
            wanted = [one for one in places if _is_of(one.job, query) and (after is None or one.is_behind(after))]
            candidates = [_Candidate(place) for place in in_order(wanted)]
            yield _Batch(candidates, Place(ids.last_job(max(0, low * histories.WINDOW_MS - 1)), ids.MAX_ORDINAL))
            last = low - 1

    async def _of_jobs(self, tenant: str, query: MessageQuery, after: Place | None) -> AsyncIterator[_Batch]:
        """One job, or all that were made in some time, the latest first."""
        begun = query.job or (after.job if after is not None else None)
        if begun is not None:
            first = after.ordinal + 1 if after is not None and after.job == begun else 0
            if after is None or begun <= after.job:
                async for batch in self._of_job(tenant, query, begun, first):
                    yield batch
            if query.job is not None:
                return
        until_ms = _ms(query.until)
        high = min(one for one in (begun, ids.last_job(until_ms - 1) if until_ms else None, _END) if one is not None)
        while True:
            names = await self._jobs(tenant, high)
            candidates: list[_Candidate] = []
            for name, (job, states) in zip(names, await self._heads(names), strict=True):
                if not _is_of(name, query):
                    continue
                candidates += _wanted(name, 0, min(job[jobs.TOTAL], BLOCK), states, query)
                if job[jobs.TOTAL] > BLOCK or len(candidates) > TOGETHER:
                    yield _Batch(candidates, Place(name, BLOCK - 1))
                    candidates = []
                    async for batch in self._of_job(tenant, query, name, BLOCK):
                        yield batch
            if names:
                yield _Batch(candidates, Place(names[-1], ids.MAX_ORDINAL))
            if len(names) < JOBS_TOGETHER or ids.job_created_ms(names[-1]) < (_ms(query.since) or 0):
                return
            high = names[-1]

    async def _jobs(self, tenant: str, high: str) -> list[str]:
        """The latest that were made before that one."""
        pipeline = self._client.pipeline(transaction=False)
        for p in range(self._partitions):
            pipeline.execute_command(
                "ZREVRANGEBYLEX", keys.tenant_jobs(p, tenant), f"({high}", "-", "LIMIT", 0, JOBS_TOGETHER
            )
        found = await answer(pipeline.execute())
        return sorted((name.decode() for some in found for name in some), reverse=True)[:JOBS_TOGETHER]

    async def _heads(self, names: Sequence[str]) -> list[tuple[Job, bytes]]:
        """Of each job its total, and the states of its first messages."""
        if not names:
            return []
        pipeline = self._client.pipeline(transaction=False)
        for name in names:
            key = keys.job_states(ids.job_partition(name, self._partitions), name)
            pipeline.execute_command("GETRANGE", key, 0, BLOCK - 1)
        asked = jobs.read_many(self._client, self._partitions, names, (jobs.TOTAL,))
        found, states = await asyncio.gather(asked, answer(pipeline.execute()))
        return list(zip(found, states, strict=True))

    async def _of_job(self, tenant: str, query: MessageQuery, name: str, first: int) -> AsyncIterator[_Batch]:
        """From that ordinal on; nothing of another tenant's job."""
        job = await jobs.read(self._client, self._partitions, name, (jobs.TENANT, jobs.TOTAL))
        total = job[jobs.TOTAL] if job[jobs.TENANT] == tenant and _is_of(name, query) else 0
        key = keys.job_states(ids.job_partition(name, self._partitions), name)
        while first < total:
            last = min(first + BLOCK, total) - 1
            states = await self._client.getrange(key, first, last)
            yield _Batch(_wanted(name, first, last + 1, states, query), Place(name, last))
            first = last + 1

    async def _looked_at(
        self, tenant: str, query: MessageQuery, candidates: Sequence[_Candidate]
    ) -> list[MessageListed]:
        """Those of them that are there, and are wanted."""
        of_job: dict[str, list[int]] = {}
        for one in candidates:
            of_job.setdefault(one.place.job, []).append(one.place.ordinal)
        unknown = [one.place for one in candidates if one.state is None]
        pipeline = self._client.pipeline(transaction=False)
        for name, ordinals in of_job.items():
            self._ask_chunk(pipeline, name, ordinals[0])
        for place in unknown:
            p = ids.job_partition(place.job, self._partitions)
            pipeline.execute_command("GETRANGE", keys.job_states(p, place.job), place.ordinal, place.ordinal)
        asked = jobs.read_many(self._client, self._partitions, list(of_job), _SHOWN)
        found, answers = await asyncio.gather(asked, answer(pipeline.execute()))
        heads = dict(zip(of_job, found, strict=True))
        chunks: dict[str, list[bytes]] = dict(zip(of_job, answers, strict=False))
        states = dict(zip(unknown, answers[len(of_job) :], strict=True))
        people = await self._people(of_job, chunks)
        return [
            shown
            for one in candidates
            if (person := people.get(one.place)) is not None
            and (job := heads[one.place.job])[jobs.TENANT] == tenant
            and _fits(shown := _listed(one, person, job, states.get(one.place, b"")), query)
        ]

    def _ask_chunk(self, pipeline: Pipeline, name: str, ordinal: int) -> None:
        """For the chunk that has this ordinal."""
        key = keys.job_recipients(ids.job_partition(name, self._partitions), name)
        pipeline.execute_command("ZREVRANGEBYSCORE", key, ordinal, 0, "LIMIT", 0, 1)

    async def _people(self, of_job: dict[str, list[int]], chunks: dict[str, list[bytes]]) -> dict[Place, Recipient]:
        """The recipients at these ordinals, of which the chunk of the first one of each job has been read."""
        people: dict[Place, Recipient] = {}
        while chunks:
            left: dict[str, list[int]] = {}
            for name, members in chunks.items():
                ordinals = of_job[name]
                some = recipients.read(members[0]).at(ordinals) if members else {}
                people.update({Place(name, ordinal): person for ordinal, person in some.items()})
                behind = [ordinal for ordinal in ordinals if ordinal not in some]
                if some and behind:
                    left[name] = behind
            pipeline = self._client.pipeline(transaction=False)
            for name, ordinals in left.items():
                self._ask_chunk(pipeline, name, ordinals[0])
            found = await answer(pipeline.execute()) if left else []
            of_job, chunks = left, dict(zip(left, found, strict=True))
        return people


#: Behind every id of a job.
_END = "w"


def in_order(places: Iterable[Place]) -> list[Place]:
    """Those of the latest job first, in a job by ordinal."""
    return sorted(sorted(places, key=lambda one: one.ordinal), key=lambda one: one.job, reverse=True)


def packed(place: Place, tenant: str) -> str:
    """A cursor behind that message, good for that tenant."""
    return paging.pack([crc32(tenant.encode()), *place])


def unpacked(text: str, tenant: str) -> Place:
    """InvalidCursor if it is none, or another tenant's."""
    whose, job, ordinal = paging.unpack(text, tuple[int, str, int])
    if whose != crc32(tenant.encode()) or not ids.is_job_id(job):
        raise paging.InvalidCursor
    return Place(job, ordinal)


def _is_of(job: str, query: MessageQuery) -> bool:
    """Whether messages of that job may be wanted, by its id."""
    made_ms, since_ms, until_ms = ids.job_created_ms(job), _ms(query.since), _ms(query.until)
    return (
        (query.job is None or job == query.job)
        and (since_ms is None or made_ms >= since_ms)
        and (until_ms is None or made_ms < until_ms)
    )


def _wanted(job: str, first: int, end: int, states: bytes, query: MessageQuery) -> list[_Candidate]:
    """Messages of a job from one ordinal up to another, of which `states` has the bytes; of those that it does not
    have yet nothing is decided."""
    known = states.ljust(end - first, b"\0")
    return [
        _Candidate(Place(job, first + at), byte)
        for at, byte in enumerate(known[: end - first])
        if query.state is None or word(byte) in query.state
    ]


def _fits(shown: MessageListed, query: MessageQuery) -> bool:
    """What neither index nor state has told."""
    return (
        (query.recipient is None or normalised(shown.email) == query.recipient)
        and (query.state is None or shown.state in query.state)
        and (query.metadata is None or shown.metadata.get(query.metadata[0]) == query.metadata[1])
    )


def _listed(one: _Candidate, person: Recipient, job: Job, state: bytes) -> MessageListed:
    byte = (state[0] if state else 0) if one.state is None else one.state
    return MessageListed(
        id=ids.message_id(*one.place),
        job=one.place.job,
        created_at=rfc3339(ids.job_created_ms(one.place.job)),
        email=person.email,
        metadata=person.metadata or {},
        state=word(byte),
        stream=job[jobs.STREAM],
        subject=job[jobs.SUBJECT],
        list=job[jobs.LIST] or None,
        tags=job[jobs.TAGS],
    )


def _ms(time: datetime | None) -> int | None:
    return None if time is None else max(0, int(time.timestamp() * 1000))
