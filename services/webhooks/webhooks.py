"""The main path: facts are read from the streams, and put into the queue of each endpoint that has chosen them.

    events ──one reader a partition──→ who wants it? ──rendered, once a choice of fields──→ queues of endpoints
                                                                                              │ delivering
                                                                                              ╰──→ POST

An event is copied into the queue, so that it outlives the stream's trimming: what waits for an endpoint waits until it
is taken, given up, or dropped because too many wait already, which is counted and shown.

One process at a time reads a partition (`Store.lead`), in its order; so does one at a time send to an endpoint. So the
events of a message reach it in their order. What a crash makes the next reader bring again is there once
(`store_enqueue.lua`).
"""

import contextlib
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec
from prometheus_client import Counter, Gauge

from services.webhooks import rendering
from services.webhooks.book import Known
from services.webhooks.endpoints import NOTHING, About, listed_by, type_of
from services.webhooks.store import Batch, Taken, packed
from services.webhooks.window import Event
from shared.redis import bus
from shared.redis.recipients import Recipient, of_jobs
from shared.words import events

BATCH = 500

QUEUED = Counter("estafette_webhooks_queued_total", "Events put into the queue of an endpoint")
DROPPED = Counter("estafette_webhooks_dropped_total", "Events dropped because too many wait for their endpoint")
MISSED = Counter("estafette_webhooks_missed_total", "Events not kept for an endpoint that is disabled")
AGE = Gauge("estafette_webhooks_age_seconds", "Age of the latest batch of facts when it was put into queues")


class _Head(msgspec.Struct, frozen=True, array_like=True):
    """Enough to pass over what nobody has chosen."""

    event_id: str
    occurred_at: int
    tenant: str
    job: str = ""


_heads = msgspec.msgpack.Decoder(_Head)


class Book(Protocol):
    async def look(self) -> None: ...
    def of_tenant(self, tenant: str) -> Mapping[str, Known]: ...


class Recipients(Protocol):
    async def find(self, job: str, ordinals: Sequence[int]) -> dict[int, Recipient]: ...


class Queues(Protocol):
    async def enqueue(self, batches: Sequence[Batch], now_ms: int) -> list[Taken]: ...


class Jobs(Protocol):
    async def about(self, job: str) -> About: ...


class _Wanted(NamedTuple):
    """A fact, with the endpoints that have chosen it."""

    fact: events.Fact
    kind: str
    by: list[Known]


class Webhooks:
    """`woken` is called when something waits for endpoints of this process's partitions."""

    def __init__(
        self,
        book: Book,
        queues: Queues,
        recipients: Recipients,
        jobs: Jobs,
        now_ms: Callable[[], int],
        woken: Callable[[], None],
    ) -> None:
        self._book = book
        self._queues = queues
        self._recipients = recipients
        self._jobs = jobs
        self._now_ms = now_ms
        self._woken = woken

    async def handle(self, partition: int, batch: Sequence[bus.Entry]) -> None:
        """A batch of facts in their order. RedisAway; DeadLetter for what cannot be understood."""
        await self._book.look()
        by_endpoint = await self.rendered([found for one in batch if (found := self._chosen(one)) is not None])
        first, last = batch[0].stream_id, batch[-1].stream_id
        await self._put(
            [Batch(name, str(partition), first, last, found) for name, found in by_endpoint.items()],
        )
        AGE.set(max(0.0, (self._now_ms() - batch[-1].written_ms) / 1000))

    async def again(self, endpoint: Known, batch: Sequence[bus.Entry]) -> None:
        """These once more, for one endpoint: a replay. RedisAway."""
        wanted: list[_Wanted] = []
        for one in batch:
            with contextlib.suppress(bus.DeadLetter):  # it was buried when it was read first
                if (found := self._chosen(one, {endpoint.endpoint.id: endpoint})) is not None:
                    wanted.append(found)
        by_endpoint = await self.rendered(wanted)
        await self._put([Batch(name, "", "", "", found) for name, found in by_endpoint.items()])

    async def _put(self, batches: Sequence[Batch]) -> None:
        if not batches:
            return
        for taken in await self._queues.enqueue(batches, self._now_ms()):
            QUEUED.inc(taken.queued)
            DROPPED.inc(taken.dropped)
            MISSED.inc(taken.missed)
        self._woken()

    def _chosen(self, entry: bus.Entry, among: Mapping[str, Known] | None = None) -> _Wanted | None:
        """The fact of an entry, if an endpoint has chosen its type."""
        try:
            head = _heads.decode(entry.body)
        except msgspec.DecodeError as fault:
            raise bus.DeadLetter(f"{entry.name}: {fault}") from fault
        known = self._book.of_tenant(head.tenant) if among is None else among
        if not known:
            return None
        if among is not None and any(one.endpoint.tenant != head.tenant for one in among.values()):
            return None
        kind = type_of(entry.name, head.job)
        by = [one for one in known.values() if one.endpoint.chooses(kind)]
        if not by:
            return None
        fact = entry.message()
        assert isinstance(fact, events.Fact)
        return _Wanted(fact, kind, by)

    async def rendered(self, wanted: Sequence[_Wanted]) -> dict[str, list[bytes]]:
        """By endpoint, what each is told, in order."""
        abouts = {job: await self._jobs.about(job) for job in dict.fromkeys(one.fact.job for one in wanted) if job}
        recipients = await self._recipients_of(wanted)
        found: dict[str, list[bytes]] = defaultdict(list)
        for fact, kind, by in wanted:
            about = abouts.get(fact.job, NOTHING)
            made: dict[tuple[str, ...], bytes] = {}
            whole = None
            for known in by:
                endpoint = known.endpoint
                if endpoint.is_of_jobs and not endpoint.chooses_job(about, listed_by(fact)):
                    continue
                if (ready := made.get(endpoint.fields)) is None:
                    if whole is None:
                        recipient = recipients.get((fact.job, fact.ordinal))
                        whole = rendering.data(
                            fact,
                            about,
                            recipient.email if recipient else None,
                            recipient.metadata if recipient else None,
                        )
                    body = rendering.body(kind, fact.occurred_at, rendering.chosen(whole, endpoint.fields))
                    event = Event(b"", rendering.order_of(fact), rendering.key_of(fact), body)
                    ready = made[endpoint.fields] = packed(event)
                found[endpoint.id].append(ready)
        return found

    async def _recipients_of(self, wanted: Sequence[_Wanted]) -> dict[tuple[str, int | None], Recipient]:
        ordinals: dict[str, list[int]] = defaultdict(list)
        for one in wanted:
            if one.fact.job and one.fact.ordinal is not None:
                ordinals[one.fact.job].append(one.fact.ordinal)
        return await of_jobs(self._recipients, ordinals)
