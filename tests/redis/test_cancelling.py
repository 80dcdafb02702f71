"""What is cancelled ends wherever it waits, and nothing else does: before it is queued, in ready queues, for later."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest

from services.operator.operator import Act, Operator
from services.queueing.cancelling import LEAST_MS, Cancelling
from services.queueing.queueing import Queueing
from services.queueing.store import JobStore
from services.relay.checks.stops import Stops
from shared.redis import bus, cancels, keys, redis
from shared.redis.cancels import Cancel, CancelList, Cancels
from shared.redis.jobs import STATE, read
from shared.redis.ready import PARKED, SUSPECT, SWEEP_PAGE, Lease, Queued, ReadyQueues, Recorded
from shared.redis.recipients import Waiting, pack_waiting
from shared.redis.stops import StopList
from shared.redis.suppression import SuppressionList
from shared.redis.tenants import Tenants
from shared.words import events, ids
from shared.words.errors import Problem
from tests.jobs import new_job
from tests.redis.test_relay import House, running
from tests.redis.test_relay import P as HOUSE_P

P = 4
SITE = "a.test"
NOW_MS = int(time.time() * 1000)
YEAR_MS = 366 * 86_400_000
ACT = Act("key:k1", "house", "a spammer")


def job_id(number: int, ago_ms: int = 60_000) -> str:
    return ids.new_job_id(NOW_MS - ago_ms, (number << 16).to_bytes(6, "big"), P)


JOB, OTHER, LATER = job_id(1), job_id(2), job_id(3, -60_000)


def ready(job: str, ordinal: int, tenant: str, stream: str = "bulk") -> bytes:
    message = events.Ready(tenant=tenant, job=job, ordinal=ordinal, email=f"u{ordinal}@a.test", stream=stream)
    return events.encode(message)


async def put(
    client: Any, job: str, count: int, *, site: str = SITE, tenant: str = "acme", lane: int = 1, queue: str = ""
) -> int:
    """So many messages of a job; their partition."""
    p = ids.name_partition(site, P)
    stream = "bulk" if lane else "transactional"
    rows = [Queued(lane, site, queue or tenant, ready(job, n, tenant, stream), NOW_MS + YEAR_MS) for n in range(count)]
    await ReadyQueues(client, "email").enqueue(p, f"{job}{site}{lane}{tenant}", 0, rows)
    return p


async def defer(client: Any, p: int, count: int) -> None:
    """That many of what is ready wait an hour for another attempt."""
    queues = ReadyQueues(client, "email")
    leases = (await queues.lease(p, "r0", 60_000, count, 10_000)).leases
    ends = [Recorded(one.number, NOW_MS + YEAR_MS, one.body) for one in leases]
    await queues.record(p, "r0", ends)


async def taken(client: Any, p: int, mark: str, cancel: Cancel, limit: int = 10_000) -> list[Lease]:
    """All that a relay finds of what the mark is about."""
    queues, found = ReadyQueues(client, "email"), []
    for queue in await queues.cancelled_queues(p, mark, cancel):
        more = True
        while more:
            leases, more = await queues.take_cancelled(p, "r1", 60_000, limit, mark, cancel, queue)
            found += leases
            more = more and len(found) < limit
    return found


def jobs_of(leases: list[Lease]) -> Counter[str]:
    return Counter(one.job for lease in leases if isinstance(one := events.decode("Ready", lease.body), events.Ready))


async def left(client: Any, p: int) -> Counter[str]:
    """What can still be had, by job."""
    return jobs_of((await ReadyQueues(client, "email").lease(p, "r9", 60_000, 10_000, 10_000)).leases)


# Found where it waits


@pytest.mark.parametrize("tenant", ["acme", "a", "x" * 20, "x" * 31, "x" * 32])
async def test_of_a_queue_only_the_cancelled_job_is_taken_page_by_page(client: Any, tenant: str) -> None:
    p = await put(client, JOB, SWEEP_PAGE + 50, tenant=tenant)
    await put(client, OTHER, 30, tenant=tenant)
    await put(client, JOB, 10, tenant=tenant, queue=f"{tenant}/{JOB}", lane=0)

    found = await taken(client, p, cancels.of_job(JOB), Cancel("", NOW_MS, "tenant"))

    assert jobs_of(found) == {JOB: SWEEP_PAGE + 60}
    assert await left(client, p) == {OTHER: 30}


async def test_what_is_held_and_what_waits_for_another_attempt_is_found_too(client: Any) -> None:
    p = await put(client, JOB, 300)
    await defer(client, p, 300)
    await put(client, OTHER, 20)
    await defer(client, p, 10)
    await ReadyQueues(client, "email").hold(p, SITE, NOW_MS + YEAR_MS)

    found = await taken(client, p, cancels.of_job(JOB), Cancel("", NOW_MS, "tenant"))

    assert jobs_of(found) == {JOB: 300}
    assert await client.zcard(keys.retry(p, "email")) == 10


async def test_of_a_tenant_only_the_bulk_is_meant_that_was_posted_before(client: Any) -> None:
    p = await put(client, JOB, 3)
    await put(client, LATER, 2)
    await put(client, OTHER, 4, lane=0)
    await put(client, OTHER, 5, tenant="beta")
    await put(client, JOB, 1, queue=f"acme/{JOB}")

    found = await taken(client, p, cancels.of_tenant("acme"), Cancel("acme", NOW_MS, "operator"))

    assert jobs_of(found) == {JOB: 3}
    assert await left(client, p) == {LATER: 2, OTHER: 9}


@pytest.mark.parametrize(("tenant", "meant"), [("", {JOB: 3, OTHER: 5}), ("beta", {OTHER: 5})])
async def test_of_a_site_all_is_meant_or_what_is_a_tenants(client: Any, tenant: str, meant: dict[str, int]) -> None:
    other_site = next(
        f"b{n}.test" for n in range(99) if ids.name_partition(f"b{n}.test", P) == ids.name_partition(SITE, P)
    )
    p = await put(client, JOB, 3)
    await put(client, OTHER, 5, tenant="beta", lane=0)
    await put(client, JOB, 7, site=other_site)

    found = await taken(client, p, cancels.of_site(SITE, tenant), Cancel(tenant, NOW_MS, "operator"))

    assert jobs_of(found) == meant


async def test_no_more_is_taken_than_there_is_room_for_and_relays_share_how_far_they_looked(client: Any) -> None:
    p = await put(client, JOB, 120)
    mark, cancel, queues = cancels.of_job(JOB), Cancel("", NOW_MS, "tenant"), ReadyQueues(client, "email")
    (queue, _) = await queues.cancelled_queues(p, mark, cancel)

    first, more = await queues.take_cancelled(p, "r1", 60_000, 50, mark, cancel, queue)
    second, _ = await queues.take_cancelled(p, "r2", 60_000, 100, mark, cancel, queue)
    await put(client, OTHER, 1)
    late, _ = await queues.take_cancelled(p, "r2", 60_000, 100, mark, cancel, queue)

    assert (len(first), more, len(second), late) == (50, True, 70, [])
    ordinals = {events.decode("Ready", one.body).ordinal for one in (*first, *second)}  # type: ignore[attr-defined]
    assert ordinals == set(range(120))


async def test_what_is_tried_alone_is_found_apart(client: Any) -> None:
    p = await put(client, JOB, 4)
    queues = ReadyQueues(client, "email")
    for _ in range(SUSPECT):
        await queues.lease(p, "fatal", 60_000, 4, 4)
        await queues.died(p, "fatal")
    await put(client, JOB, 3, tenant="beta")
    mark, cancel = cancels.of_job(JOB), Cancel("", NOW_MS, "tenant")

    ordinary = await taken(client, p, mark, cancel)
    alone = queues.alone()
    found = []
    for queue in await alone.cancelled_queues(p, mark, cancel):
        found += (await alone.take_cancelled(p, "r2", 60_000, 10, mark, cancel, queue))[0]

    assert (len(ordinary), len(found)) == (3, 4)
    assert {one.take_overs for one in found} == {SUSPECT}


async def park(client: Any, p: int, count: int) -> None:
    """That many of what is ready are put aside, as of a job that is stopped."""
    queues = ReadyQueues(client, "email")
    leases = (await queues.lease(p, "r0", 60_000, count, 10_000)).leases
    await queues.park(p, "r0", [one.number for one in leases])


async def test_of_a_site_what_is_parked_is_found_page_by_page_and_nothing_else(client: Any) -> None:
    other_site = next(
        f"b{n}.test" for n in range(99) if ids.name_partition(f"b{n}.test", P) == ids.name_partition(SITE, P)
    )
    p = await put(client, JOB, SWEEP_PAGE + 50)
    await put(client, JOB, 7, site=other_site)
    await put(client, OTHER, 20, tenant="beta")
    await put(client, LATER, 5)
    await park(client, p, SWEEP_PAGE + 82)
    queues, mark, cancel = ReadyQueues(client, "email"), cancels.of_site(SITE), Cancel("", NOW_MS, "operator")
    was_there = await queues.may_be_parked(p, mark, cancel)

    found = await taken(client, p, mark, cancel)

    assert jobs_of(found) == {JOB: SWEEP_PAGE + 50, OTHER: 20}
    assert {one.site for one in found} == {SITE}
    assert (was_there, await queues.may_be_parked(p, mark, cancel)) == (True, False)
    assert await queues.parked_jobs(p) == sorted([JOB, LATER])
    back = [await queues.unpark(p, job, 1_000) for job in (JOB, OTHER, LATER)]
    assert back == [7, 0, 5]


async def test_of_a_site_a_tenants_alone_is_taken_from_what_is_parked_and_no_more_than_there_is_room_for(
    client: Any,
) -> None:
    p = await put(client, JOB, 30)
    await put(client, OTHER, 20, tenant="beta")
    await park(client, p, 50)
    queues, mark = ReadyQueues(client, "email"), cancels.of_site(SITE, "beta")
    cancel = Cancel("beta", NOW_MS, "operator")

    first, more = await queues.take_cancelled(p, "r1", 60_000, 15, mark, cancel, PARKED)
    rest, _ = await queues.take_cancelled(p, "r1", 60_000, 15, mark, cancel, PARKED)

    assert (len(first), more, len(rest)) == (15, True, 5)
    assert jobs_of([*first, *rest]) == {OTHER: 20}


async def test_a_second_mark_of_a_site_looks_at_what_the_first_was_not_about(client: Any) -> None:
    p = await put(client, JOB, 3)
    await put(client, LATER, 4)
    mark = cancels.of_site(SITE)
    first = await taken(client, p, mark, Cancel("", NOW_MS, "operator"))

    second = await taken(client, p, mark, Cancel("", NOW_MS + 120_000, "operator"))

    assert (jobs_of(first), jobs_of(second)) == ({JOB: 3}, {LATER: 4})


async def test_what_is_no_message_of_ours_is_passed_over(client: Any) -> None:
    p = ids.name_partition(SITE, P)
    bodies = [b"", b"\x9c", b"\x9c\xa4acme", b"\x9c\xd9", b"\x00" * 80, ready(JOB, 0, "acme")]
    rows = [Queued(1, SITE, "acme", body, NOW_MS + YEAR_MS) for body in bodies]
    await ReadyQueues(client, "email").enqueue(p, JOB, 0, rows)

    found = await taken(client, p, cancels.of_job(JOB), Cancel("", NOW_MS, "tenant"))

    assert [one.body for one in found] == [ready(JOB, 0, "acme")]


# Ended by a relay


@pytest.fixture
async def house(any_redis_url: str) -> AsyncIterator[House]:
    client = redis.connect(any_redis_url)
    yield House(client)
    await redis.close(client)


async def until_told(house: House, count: int, kind: type[events.Fact]) -> list[Any]:
    async with asyncio.timeout(30):
        while len(found := [one for one in await house.facts() if isinstance(one, kind)]) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    return found


async def test_a_relay_ends_what_is_cancelled_at_a_site_where_nothing_goes(house: House) -> None:
    job, other = await house.job(), await house.job(own=False)
    await house.enqueue(job, range(40), expires_at=NOW_MS + YEAR_MS)
    await house.enqueue(other, range(3), expires_at=NOW_MS + YEAR_MS)
    partition = ids.name_partition(SITE, 4)
    await house.queues.hold(partition, SITE, NOW_MS + YEAR_MS)

    async with running(house.relay()):
        house.stops.cancels.marks = {cancels.of_job(job): Cancel("", NOW_MS, "operator", "a spammer")}
        told = await until_told(house, 40, events.Cancelled)

    assert {(one.job, one.by, one.why, one.site, one.attempt) for one in told} == {
        (job, "operator", "a spammer", SITE, 0)
    }
    assert sorted(one.ordinal for one in told) == list(range(40))
    facts = await house.facts()
    assert len(facts) == 40


@pytest.mark.parametrize(("how", "kind"), [("cancelled", events.Cancelled), ("bounced", events.Bounced)])
async def test_a_relay_ends_what_is_parked_of_a_site_and_leaves_what_is_parked_of_others(
    house: House, how: Any, kind: type[events.Fact]
) -> None:
    job = await house.job()
    house.stops.stopped.add(job)
    for site, count in ((SITE, 30), ("b.test", 4)):
        await house.enqueue(job, range(count), site=site, expires_at=NOW_MS + YEAR_MS)
        await park(house.client, ids.name_partition(site, HOUSE_P), count)

    async with running(house.relay()):
        house.stops.cancels.marks = {cancels.of_site(SITE): Cancel("", NOW_MS, "operator", "gone for good", how)}
        told = await until_told(house, 30, kind)

    assert sorted(one.ordinal for one in told) == list(range(30))
    assert len(await house.facts()) == 30
    assert await house.queues.parked_jobs(ids.name_partition("b.test", HOUSE_P)) == [job]


async def test_what_is_bounced_says_nothing_about_the_address(house: House) -> None:
    job = await house.job()
    await house.enqueue(job, range(3), expires_at=NOW_MS + YEAR_MS)
    await house.queues.hold(ids.name_partition(SITE, 4), SITE, NOW_MS + YEAR_MS)

    async with running(house.relay()):
        house.stops.cancels.marks = {cancels.of_site(SITE): Cancel("", NOW_MS, "operator", "gone for good", "bounced")}
        told = await until_told(house, 3, events.Bounced)

    assert {(one.kind, one.reason, one.reply) for one in told} == {("block", "bounced_by_operator", "gone for good")}


async def test_what_a_relay_took_that_died_is_ended_by_the_next(house: House) -> None:
    job = await house.job()
    await house.enqueue(job, range(5), expires_at=NOW_MS + YEAR_MS)
    p, mark, cancel = ids.name_partition(SITE, 4), cancels.of_job(job), Cancel("", NOW_MS, "tenant")
    for queue in await house.queues.cancelled_queues(p, mark, cancel):
        await house.queues.take_cancelled(p, "dead", 60_000, 3, mark, cancel, queue)
    await house.queues.died(p, "dead")

    async with running(house.relay()):
        house.stops.cancels.marks = {mark: cancel}
        told = await until_told(house, 5, events.Cancelled)

    assert sorted(one.ordinal for one in told) == [0, 1, 2, 3, 4]


# Before it is queued, and until the mark goes


class Sites:
    async def site_of(self, domain: str) -> str | None:
        return domain


class Bench:
    """Queueing, with what it reads."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.store = JobStore(client, P, max_intake_chunks=50)
        self.marks = CancelList(client)
        self.now_ms = NOW_MS
        numbers = iter(range(10**6))
        publisher = bus.Publisher(client, P, lambda: f"bench{next(numbers)}")
        self.view = Cancels(self.marks)
        lists = SuppressionList(client, P)
        self.queueing = Queueing(
            self.store, ReadyQueues(client, "email"), lists, Sites(), publisher, self.view, P, lambda: self.now_ms
        )
        self.cancelling = Cancelling(client, P, self.store, self.marks, lambda: self.now_ms)
        self.operator = Operator(client, P, publisher, lambda: self.now_ms)

    async def stored(self, job: str, start: Any, count: int = 3) -> None:
        rows = [Waiting(email=f"u{n}@a.test") for n in range(count)]
        chunks = [(0, pack_waiting(0, rows))] if count else []
        await self.store.store(
            job, new_job(total=count), chunks, start, NOW_MS + YEAR_MS if start == "scheduled" else 0
        )

    async def queue(self) -> None:
        """All that waits in intake."""
        await self.view.load()
        for p in range(P):
            stream = keys.intake(p, 1)
            try:
                await self.client.xgroup_create(stream, keys.GROUP_QUEUEING, id="0", mkstream=True)
            except redis.Refused as there:
                assert "BUSYGROUP" in str(there)
            read: Any = await self.client.xreadgroup(keys.GROUP_QUEUEING, "me", {stream: ">"}, count=100, block=None)
            entries = [bus.entry(number, fields) for _, rows in read or () for number, fields in rows]
            if entries:
                await self.queueing.take(p, entries)

    async def told(self) -> list[Any]:
        found = []
        for p in range(P):
            for number, fields in await self.client.xrange(keys.events(p), "-", "+"):
                found.append(bus.entry(number, fields).message())
        return [one for one in found if not isinstance(one, events.Acted)]

    async def state(self, job: str) -> str:
        return (await read(self.client, P, job, (STATE,)))[STATE]


@pytest.fixture
async def bench(client: Any) -> Bench:
    await Tenants(client).create("acme")
    return Bench(client)


@pytest.mark.parametrize("start", ["queueing", "scheduled", "open"])
async def test_a_job_that_is_not_queued_yet_ends_without_being_queued_and_its_quotas_come_back(
    bench: Bench, start: str
) -> None:
    await bench.stored(JOB, start)
    await bench.operator.cancel_job(JOB, "operator", ACT)

    await bench.cancelling.look()
    await bench.queue()

    told = await bench.told()
    assert [(type(one).__name__, one.ordinal, one.by, one.why, one.site) for one in told] == [
        ("Cancelled", n, "operator", "a spammer", "") for n in range(3)
    ]
    use = await bench.store.use("acme", NOW_MS)
    assert (use["open_jobs"], use["intake_chunks:1"]) == (0, 0)
    assert await bench.client.hget(keys.use(ids.job_partition(JOB, P), "acme"), "bytes") == b"0"
    assert await bench.state(JOB) == "queued"
    await bench.cancelling.look()
    assert await bench.marks.all() == {}


async def test_an_open_job_without_recipients_is_removed(bench: Bench) -> None:
    await bench.stored(JOB, "open", 0)
    await bench.operator.cancel_job(JOB, "tenant", ACT)

    await bench.cancelling.look()
    removed = [job for p in range(P) for job, _ in await bench.store.remove_open(p, NOW_MS)]
    await bench.cancelling.look()

    assert removed == [JOB]
    assert await bench.marks.all() == {}
    assert await bench.client.zcard(keys.tenant_jobs(ids.job_partition(JOB, P), "acme")) == 0


async def test_a_mark_stays_until_each_message_has_its_end(bench: Bench) -> None:
    await bench.stored(JOB, "queueing")
    await bench.queue()
    await bench.operator.cancel_job(JOB, "operator", ACT)
    await bench.operator.cancel_tenant("acme", ACT)

    await bench.cancelling.look()
    both = set(await bench.marks.all())
    for ordinal in range(3):
        await bench.client.setbit(keys.job_ended(ids.job_partition(JOB, P), JOB), ordinal, 1)
    await bench.cancelling.look()

    assert both == {cancels.of_job(JOB), cancels.of_tenant("acme")}
    assert await bench.marks.all() == {}
    with pytest.raises(Problem, match="nothing to cancel"):
        await bench.operator.cancel_job(JOB, "operator", ACT)


async def test_the_mark_of_a_site_goes_when_nothing_waits_there(bench: Bench) -> None:
    await put(bench.client, JOB, 2)
    await bench.operator.cancel_site(SITE, ACT, "acme")

    bench.now_ms += LEAST_MS + 1
    await bench.cancelling.look()
    waiting = list(await bench.marks.all())
    await left(bench.client, ids.name_partition(SITE, P))
    await bench.cancelling.look()

    assert waiting == [cancels.of_site(SITE, "acme")]
    assert await bench.marks.all() == {}


async def test_the_mark_of_a_site_stays_until_relays_have_looked_through_what_is_parked(bench: Bench) -> None:
    p = await put(bench.client, JOB, 2, tenant="beta")
    await park(bench.client, p, 2)
    await bench.operator.cancel_site(SITE, ACT, "acme")
    mark = cancels.of_site(SITE, "acme")
    (cancel,) = (await bench.marks.all()).values()

    bench.now_ms += LEAST_MS + 1
    await bench.cancelling.look()
    before = list(await bench.marks.all())
    found = await taken(bench.client, p, mark, cancel)
    await bench.cancelling.look()

    assert (before, found) == ([mark], [])
    assert await bench.marks.all() == {}


async def test_a_full_intake_makes_a_cancelled_job_wait_and_not_be_lost(bench: Bench) -> None:
    bench.cancelling = Cancelling(
        bench.client, P, JobStore(bench.client, P, max_intake_chunks=1), bench.marks, lambda: NOW_MS
    )
    await bench.stored(OTHER, "queueing")
    await bench.stored(JOB, "open")
    await bench.operator.cancel_job(JOB, "operator", ACT)

    await bench.cancelling.look()

    assert await bench.state(JOB) == "open"
    assert list(await bench.marks.all()) == [cancels.of_job(JOB)]


async def test_what_is_cancelled_is_not_kept_aside_by_a_stop(bench: Bench) -> None:
    await bench.stored(JOB, "queueing")
    await bench.operator.suspend_job(JOB, ACT)
    view = Stops(bench.client, P, StopList(bench.client))
    await view.load()
    stopped = await view.lifted([JOB])

    await bench.operator.cancel_job(JOB, "operator", ACT)
    await view.load()

    assert (stopped, await view.lifted([JOB])) == ([], [JOB])
