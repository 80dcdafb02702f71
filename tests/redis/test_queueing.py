"""Queueing against a real Redis: a job is stored whole or not at all, and each chunk is queued once, whatever dies."""

import itertools
from collections.abc import Sequence
from typing import Any

import pytest

from services.queueing.queueing import Queueing
from services.queueing.store import JobStore
from services.suppression.store import Addition, Lists
from shared.redis import (
    bus,
    keys,
    recipients,
)
from shared.redis.cancels import CancelList, Cancels
from shared.redis.jobs import New
from shared.redis.ready import LANES, ReadyQueues
from shared.redis.recipients import Waiting, pack_waiting, pack_waiting_row
from shared.redis.suppression import SuppressionList
from shared.words import events, ids
from tests.jobs import new_job

P = 4
NOW_MS = 1_790_000_000_000


@pytest.fixture
def store(client: Any) -> JobStore:
    return JobStore(client, P, max_intake_chunks=5)


class Crash(Exception):
    """What a kill -9 looks like from inside: nothing after it happens."""


class Sites:
    """The domain is the site; `gone.test` takes no mail. Counts what it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    async def site_of(self, domain: str) -> str | None:
        self.asked += 1
        return None if domain == "gone.test" else domain


class Publisher(bus.Publisher):
    """Crashes before or after storing, as often as told."""

    def __init__(self, client: Any) -> None:
        self._numbers = itertools.count()
        super().__init__(client, P, lambda: str(next(self._numbers)))
        self.crashes: list[str] = []

    async def publish(self, facts: Sequence[events.Fact], patience_s: float = 2.0, batch: str = "") -> None:
        crash = self.crashes.pop() if self.crashes else ""
        if crash == "before":
            raise Crash
        await super().publish(facts, patience_s, batch)
        if crash == "after":
            raise Crash


def _new(total: int, stream: str = "bulk", **fields: Any) -> New:
    return new_job(total=total, stream=stream, **fields)


def _job_id(number: int = 1, partition: int = 2) -> str:
    return ids.new_job_id(NOW_MS, (number << 16).to_bytes(6, "big"), P, partition)


def _waiting(*emails: str) -> list[Waiting]:
    return [Waiting(email=email) for email in emails]


async def _facts(client: Any, name: str) -> list[Any]:
    found: list[Any] = []
    for p in range(P):
        entries: Any = await client.xrange(keys.events(p))
        for _, fields in entries:
            if fields[b"t"].decode() == name:
                found.append(events.decode(name, fields[b"b"]))
    return found


async def _ready(client: Any) -> list[str]:
    queues = ReadyQueues(client, "email")
    leases = [(await queues.lease(p, "r", 60_000, 1000, 1000)).leases for p in range(P)]
    readies = [events.decode("Ready", lease.body) for found in leases for lease in found]
    return sorted(ready.email for ready in readies if isinstance(ready, events.Ready))


async def _entries(client: Any, p: int, lane: int = 1) -> list[bus.Entry]:
    """Reads as a consumer does; what is pending comes again."""
    stream = keys.intake(p, lane)
    try:
        await client.xgroup_create(stream, keys.GROUP_QUEUEING, id="0", mkstream=True)
    except Exception as exists:
        assert "BUSYGROUP" in str(exists)
    pending: Any = await client.xreadgroup(keys.GROUP_QUEUEING, "me", {stream: "0"})
    fresh: Any = await client.xreadgroup(keys.GROUP_QUEUEING, "me", {stream: ">"})
    read = [row for found in (pending, fresh) for _, rows in found for row in rows]
    return [bus.entry(number, fields) for number, fields in read]


def _queueing(
    client: Any,
    store: JobStore,
    publisher: Publisher,
    sites: Sites | None = None,
    cancels: Cancels | None = None,
) -> Queueing:
    suppressions = SuppressionList(client, P)
    cancels = cancels or Cancels(CancelList(client))
    return Queueing(
        store, ReadyQueues(client, "email"), suppressions, sites or Sites(), publisher, cancels, P, lambda: NOW_MS
    )


async def test_a_job_is_queued_by_site_and_what_cannot_be_sent_is_said(client: Any, store: JobStore) -> None:
    job = _job_id()
    rows = [*_waiting("a@x.test", "b@gone.test", "c@y.test"), Waiting(email="zut", rejected="invalid_address")]
    await store.store(job, _new(4), [(0, pack_waiting(0, rows))], "queueing")

    await _queueing(client, store, Publisher(client)).take(2, await _entries(client, 2))

    assert await _ready(client) == ["a@x.test", "c@y.test"]
    assert sorted(fact.ordinal for fact in await _facts(client, "Accepted")) == [0, 2]
    assert {fact.ordinal: fact.reason for fact in await _facts(client, "Rejected")} == {
        1: "no_mail_host",
        3: "invalid_address",
    }
    assert await client.hget(keys.job(2, job), "state") == b"queued"
    assert await client.xlen(keys.intake(2, LANES["bulk"])) == 0
    found = await recipients.Recipients(client, P).find(job, [2])
    assert found[2].email == "c@y.test"


async def test_what_is_of_the_sandbox_waits_at_its_site_and_nobody_is_asked_for_others(
    client: Any, store: JobStore
) -> None:
    sites = Sites()
    new = _new(2, test=True, sandbox=True)
    await store.store(_job_id(), new, [(0, pack_waiting(0, _waiting("a@x.test", "b@gone.test")))], "queueing")

    await _queueing(client, store, Publisher(client), sites).take(2, await _entries(client, 2))

    queues = ReadyQueues(client, "email")
    leases = [lease for p in range(P) for lease in (await queues.lease(p, "r", 60_000, 10, 10)).leases]
    assert [lease.site for lease in leases] == ["sandbox:mail"] * 2
    assert sites.asked == 0


@pytest.mark.parametrize("at_most_once", [False, True])
async def test_what_a_relay_decides_by_travels_with_the_message(
    client: Any, store: JobStore, at_most_once: bool
) -> None:
    new = _new(1, at_most_once=at_most_once)
    await store.store(_job_id(), new, [(0, pack_waiting(0, _waiting("a@x.test")))], "queueing")

    await _queueing(client, store, Publisher(client)).take(2, await _entries(client, 2))

    queues = ReadyQueues(client, "email")
    (lease,) = [lease for p in range(P) for lease in (await queues.lease(p, "r", 60_000, 10, 10)).leases]
    ready = events.decode("Ready", lease.body)
    assert isinstance(ready, events.Ready)
    assert (ready.stream, ready.at_most_once) == ("bulk", at_most_once)


@pytest.mark.parametrize(("rate", "queue"), [("", "acme"), ("50000/h", "acme/{job}")])
async def test_a_job_with_a_rate_of_its_own_waits_in_a_queue_of_its_own(
    client: Any, store: JobStore, rate: str, queue: str
) -> None:
    job = _job_id()
    await store.store(job, _new(1, rate=rate), [(0, pack_waiting(0, _waiting("a@x.test")))], "queueing")

    await _queueing(client, store, Publisher(client)).take(2, await _entries(client, 2))

    queues = ReadyQueues(client, "email")
    (lease,) = [lease for p in range(P) for lease in (await queues.lease(p, "r", 60_000, 10, 10)).leases]
    assert lease.queue == queue.format(job=job)


@pytest.mark.parametrize("crash", ["before", "after"])
async def test_a_chunk_that_broke_off_is_queued_once(client: Any, store: JobStore, crash: str) -> None:
    job = _job_id()
    await store.store(job, _new(2), [(0, pack_waiting(0, _waiting("a@x.test", "b@gone.test")))], "queueing")
    publisher, sites = Publisher(client), Sites()
    publisher.crashes = [crash]
    with pytest.raises(Crash):
        await _queueing(client, store, publisher, sites).take(2, await _entries(client, 2))

    await _queueing(client, store, publisher, sites).take(2, await _entries(client, 2))
    await _queueing(client, store, publisher, sites).take(2, await _entries(client, 2))

    assert await _ready(client) == ["a@x.test"]
    assert len(await _facts(client, "Rejected")) == 1
    assert {fact.event_id for fact in await _facts(client, "Accepted")} == {events.event_id(job, 0, "accepted")}
    assert sites.asked == 2  # the plan was kept, DNS was not asked again


async def test_a_suppressed_recipient_is_not_queued(client: Any, store: JobStore) -> None:
    await Lists(client, P).add([Addition("acme", "a@x.test", "unsubscribed", NOW_MS)])
    job = _job_id()
    await store.store(job, _new(2), [(0, pack_waiting(0, _waiting("A@x.test", "b@x.test")))], "queueing")

    await _queueing(client, store, Publisher(client)).take(2, await _entries(client, 2))

    assert await _ready(client) == ["b@x.test"]
    (fact,) = [one for one in await _facts(client, "Suppressed") if one.job]
    assert (fact.ordinal, fact.reason, fact.where) == (0, "unsubscribed", "queueing")


async def test_the_same_idempotency_key_stores_one_job(client: Any, store: JobStore) -> None:
    first, second = _job_id(1), _job_id(2)
    chunk = [(0, pack_waiting(0, _waiting("a@x.test")))]

    stored = await store.store(first, _new(1), chunk, "queueing", idempotency=("k" * 64, b"request", b"answer"))
    repeated = await store.store(second, _new(1), chunk, "queueing", idempotency=("k" * 64, b"request", b"other"))
    reused = await store.store(second, _new(1), chunk, "queueing", idempotency=("k" * 64, b"another", b"other"))

    assert (stored.word, repeated.word, repeated.answer, reused.word) == ("stored", "repeated", b"answer", "reused")
    assert await client.exists(keys.job(2, second)) == 0
    assert 0 < await client.pttl(keys.idempotency(2, "k" * 64)) <= 24 * 3600 * 1000


async def test_a_full_intake_refuses_and_stores_nothing(client: Any, store: JobStore) -> None:
    chunk = [(0, pack_waiting(0, _waiting("a@x.test")))]
    words = [(await store.store(_job_id(n), _new(1), chunk, "queueing")).word for n in range(7)]

    assert words == ["stored"] * 5 + ["full"] * 2
    assert await client.exists(keys.job(2, _job_id(6))) == 0
    assert (await store.store(_job_id(9), _new(1, "transactional"), chunk, "queueing")).word == "stored"


async def test_an_open_job_takes_each_address_once_and_starts_once(client: Any, store: JobStore) -> None:
    job = _job_id()
    await store.store(job, _new(0), [], "open")
    batch = [(email.encode(), pack_waiting_row(Waiting(email=email))) for email in ("a@x.test", "b@x.test")]
    more = [(b"b@x.test", batch[1][1]), (b"c@x.test", pack_waiting_row(Waiting(email="c@x.test", name="é")))]

    assert await store.append("acme", job, batch, NOW_MS) == ("appended", 2)
    assert await store.append("acme", job, more, NOW_MS) == ("appended", 1)
    assert await store.append("other", job, more, NOW_MS) == ("unknown", 0)
    assert await store.start("other", job, NOW_MS) == ("unknown", "")
    assert await store.start("acme", job, NOW_MS) == ("queueing", "")
    assert await store.start("acme", job, NOW_MS) == ("not_open", "queueing")
    assert await store.append("acme", job, more, NOW_MS) == ("not_open", 0)
    await _queueing(client, store, Publisher(client)).take(2, await _entries(client, 2))

    assert await _ready(client) == ["a@x.test", "b@x.test", "c@x.test"]
    found = await recipients.Recipients(client, P).find(job, [0, 1, 2])
    assert [found[n].email for n in range(3)] == ["a@x.test", "b@x.test", "c@x.test"]
    head = await store.head(job)
    assert head is not None
    assert head.expires_at_ms == NOW_MS + 86_400_000


async def test_a_scheduled_job_waits_for_its_time(client: Any, store: JobStore) -> None:
    job = _job_id()
    await store.store(job, _new(1), [(0, pack_waiting(0, _waiting("a@x.test")))], "scheduled", NOW_MS + 5000)

    assert await store.due(2, NOW_MS) == []
    assert await store.due(2, NOW_MS + 5000) == [job]
    assert await store.start("", job, NOW_MS + 5000) == ("queueing", "")
    assert await store.due(2, NOW_MS + 5000) == []
    assert len(await _entries(client, 2)) == 1


async def test_a_job_without_recipients_stays_open(client: Any, store: JobStore) -> None:
    job = _job_id()
    await store.store(job, _new(0), [], "open")

    answers = [await store.start("acme", job, NOW_MS), await store.start("acme", job, NOW_MS, NOW_MS + 1000)]

    assert answers == [("empty", "")] * 2
    assert [await store.due(p, NOW_MS + 2000) for p in range(3)] == [[]] * 3
