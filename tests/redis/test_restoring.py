"""What waits in an older copy of Redis and may have been sent since ends once, wherever it waits; the rest is sent."""

import asyncio
import itertools
import shutil
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from services.queueing.queueing import Queueing
from services.queueing.restoring import Restoring, Stays
from services.queueing.store import JobStore
from services.reports.job_record import FIELDS, Job
from services.reports.job_report import report
from services.reports.reports import Reports
from services.reports.store import ReportReader, ReportStore
from shared.redis import bus, jobs, keys, redis
from shared.redis.cancels import CancelList, Cancels
from shared.redis.ready import SUSPECT, ReadyQueues, Recorded
from shared.redis.recipients import Waiting, pack_waiting
from shared.redis.suppression import SuppressionList
from shared.words import events, ids
from tests.jobs import new_job
from tests.servers import RedisServer

P = 3
SITE = "a.test"
NOW_MS = int(time.time() * 1000)
BEFORE_MS = NOW_MS - 60_000
HOUR_MS = 3_600_000
_chance = itertools.count(1)


class Sites:
    async def site_of(self, domain: str) -> str | None:
        return domain


class House:
    """An installation whose copy was put back: what it queues, and what becomes of it."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.store = JobStore(client, P, 1_000)
        self.queues = ReadyQueues(client, "email")
        self.partition = ids.name_partition(SITE, P)
        self.publisher = bus.Publisher(client, P, lambda: f"batch{next(_chance)}")
        view = Cancels(CancelList(client))
        lists = SuppressionList(client, P)
        self.queueing = Queueing(self.store, self.queues, lists, Sites(), self.publisher, view, P, lambda: NOW_MS)

    def restoring(self, before_ms: int = BEFORE_MS, *, bulk: bool = False) -> Restoring:
        return Restoring(
            self.client, P, self.publisher, lambda: NOW_MS, before_ms=before_ms, bulk=bulk, run=f"r{next(_chance)}"
        )

    async def job(
        self,
        total: int,
        *,
        made_ms: int = BEFORE_MS - HOUR_MS,
        start: Any = "queueing",
        at_ms: int = 0,
        queued: bool = True,
        stream: Any = "bulk",
    ) -> str:
        job = ids.new_job_id(made_ms, (next(_chance) << 20).to_bytes(6, "big"), P)
        chunks = [(0, pack_waiting(0, [Waiting(email=f"u{n}@{SITE}") for n in range(total)]))] if total else []
        new = new_job(total=total, stream=stream, expires_at_ms=NOW_MS + 99 * HOUR_MS)
        await self.store.store(job, new, chunks, start, at_ms)
        if queued and start == "queueing":
            await self.queue()
        return job

    async def queue(self) -> None:
        """All that waits in intake."""
        for p, lane in itertools.product(range(P), (0, 1)):
            stream = keys.intake(p, lane)
            await bus.register(self.client, stream, keys.GROUP_QUEUEING)
            read = await self.client.xreadgroup(keys.GROUP_QUEUEING, "me", {stream: ">"}, count=100, block=None)
            entries = [bus.entry(number, fields) for _, rows in read or () for number, fields in rows]
            if entries:
                await self.queueing.take(p, entries)

    async def take(self, count: int, relay: str = "dead") -> list[Any]:
        """So many messages in a relay's hand."""
        return (await self.queues.lease(self.partition, relay, 60_000, count, 10_000)).leases

    async def defer(self, count: int) -> None:
        """So many wait for another attempt, for longer than a run of all tests takes: `NOW_MS` is when it began."""
        ends = [Recorded(one.number, NOW_MS + 24 * HOUR_MS, one.body) for one in await self.take(count, "r0")]
        await self.queues.record(self.partition, "r0", ends)

    async def deliver(self, count: int) -> None:
        """So many have their end; of the first the lease was not ended yet."""
        leases = await self.take(count, "r0")
        facts = []
        for one in leases:
            ready = events.decode("Ready", one.body)
            assert isinstance(ready, events.Ready)
            about = events.about_message(ready.tenant, ready.job, ready.ordinal, NOW_MS, "delivered")
            facts.append(events.Delivered(**about))
        await self.publisher.publish(facts)
        await self.queues.record(self.partition, "r0", [Recorded(one.number) for one in leases[1:]])

    async def park(self, count: int) -> None:
        await self.queues.park(self.partition, "r0", [one.number for one in await self.take(count, "r0")])

    async def suspect(self, count: int) -> None:
        """So many are tried alone."""
        for _ in range(SUSPECT):
            await self.take(count, "fatal")
            await self.queues.died(self.partition, "fatal")

    async def told(self) -> Counter[tuple[str, str, str]]:
        """Job, fact and reason of each that was told, but for Accepted."""
        found: Counter[tuple[str, str, str]] = Counter()
        for p in range(P):
            for number, fields in await self.client.xrange(keys.events(p), "-", "+"):
                fact = bus.entry(number, fields).message()
                assert isinstance(fact, events.Fact)
                if not isinstance(fact, events.Accepted):
                    found[fact.job, type(fact).__name__, getattr(fact, "reason", "")] += 1
        return found

    async def sent(self) -> Counter[str]:
        """Whatever relays would still send now, or later, by job."""
        found: Counter[str] = Counter()
        for key in await self.client.zrange(keys.retry(self.partition, "email"), 0, -1):
            found[self._job_of(key.split(b"\n", 3)[3])] += 1
        for queues in (self.queues, self.queues.alone()):
            for one in (await queues.lease(self.partition, "r9", 60_000, 10_000, 10_000)).leases:
                found[self._job_of(one.body)] += 1
        return found

    @staticmethod
    def _job_of(body: bytes) -> str:
        ready = events.decode("Ready", body)
        assert isinstance(ready, events.Ready)
        return ready.job

    async def counts(self, job: str) -> Any:
        """Of its report, once all facts are counted."""
        reports = Reports(ReportStore(self.client), lambda: NOW_MS)
        p = ids.job_partition(job, P)
        await bus.register(self.client, keys.events(p), keys.GROUP_REPORTS)
        read = await self.client.xreadgroup(keys.GROUP_REPORTS, "me", {keys.events(p): ">"}, count=10_000, block=None)
        entries = [bus.entry(number, fields) for _, rows in read or () for number, fields in rows]
        if entries:
            await reports.count(p, entries)
        found = Job.read(job, await jobs.read(self.client, P, job, FIELDS))
        return report(found, await ReportReader(self.client, P).counts(job), [], {}, None).counts


@pytest.fixture
def house(client: Any) -> House:
    return House(client)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.queueing.restoring.PATIENCE_S", 0.2)


async def test_whatever_waits_ends_once_wherever_it_waits_and_the_accounts_close(house: House) -> None:
    alone = await house.job(5)
    await house.suspect(5)
    job = await house.job(60)
    await house.defer(10)
    await house.park(10)
    await house.deliver(5)
    await house.take(10)
    unqueued = await house.job(7, queued=False)
    started = await house.job(4, start="scheduled", at_ms=BEFORE_MS - 1)

    would, _ = await house.restoring().look()
    ended = await house.restoring().end()

    assert await house.told() == {
        (alone, "Failed", "may_have_been_sent"): 5,
        (job, "Delivered", ""): 5,
        (job, "Failed", "may_have_been_sent"): 55,
        (unqueued, "Failed", "may_have_been_sent"): 7,
        (started, "Failed", "may_have_been_sent"): 4,
    }
    # The one that was delivered, and whose lease had not ended, was looked at, and has the end that it had.
    assert would.rows() == ended.rows() == [("acme", "bulk", 4, 5 + 56 + 7 + 4)]
    await house.queue()
    assert await house.sent() == {}
    for one, total in ((alone, 5), (job, 60), (unqueued, 7), (started, 4)):
        assert await jobs.has_ended(house.client, P, one)
        counts = await house.counts(one)
        assert (counts.delivered + counts.failed, counts.accepted, counts.pending) == (total, total, 0)


async def test_what_cannot_have_been_sent_stays(house: House) -> None:
    await house.job(5)
    later = await house.job(3, made_ms=BEFORE_MS + 1)
    later_unqueued = await house.job(2, made_ms=BEFORE_MS + 1, queued=False)
    scheduled = await house.job(4, start="scheduled", at_ms=BEFORE_MS + 1)
    opened = await house.job(6, start="open")

    _, stays = await house.restoring().look()
    ended = await house.restoring().end()

    assert stays == Stays(open_jobs=1, scheduled_jobs=1, messages=5)
    assert ended.messages == 5
    for one in (scheduled, opened):
        await house.store.start("", one, NOW_MS)
    await house.queue()
    assert await house.sent() == {later: 3, later_unqueued: 2, scheduled: 4, opened: 6}


async def test_of_bulk_alone_what_people_wait_for_is_sent(house: House) -> None:
    bulk, reset = await house.job(5), await house.job(1, stream="transactional")
    await house.defer(2)
    unqueued = await house.job(1, stream="transactional", queued=False)

    _, stays = await house.restoring(bulk=True).look()
    ended = await house.restoring(bulk=True).end()
    await house.queue()

    assert (stays.messages, ended.rows()) == (2, [("acme", "bulk", 1, 5)])
    assert await house.sent() == {reset: 1, unqueued: 1}
    assert {job for job, *_ in await house.told()} == {bulk}


async def test_a_look_changes_nothing(house: House) -> None:
    job = await house.job(10)
    await house.defer(3)
    await house.park(3)

    for _ in range(2):
        found, _ = await house.restoring().look()
        assert found.messages == 10

    assert await house.told() == {}
    await house.queues.unpark(house.partition, job, 10)
    assert await house.sent() == {job: 10}


async def test_once_more_ends_nothing_more(house: House) -> None:
    job = await house.job(10)
    await house.restoring().end()

    again = await house.restoring().end()

    assert again.messages == 0
    assert (await house.told())[job, "Failed", "may_have_been_sent"] == 10


@pytest.mark.parametrize("dies_at", range(1, 6))
async def test_who_dies_in_between_begins_again_and_nothing_ends_twice_or_is_sent(house: House, dies_at: int) -> None:
    job = await house.job(450)
    await house.defer(20)
    unqueued = await house.job(5, queued=False)
    publish, times = house.publisher.publish, 0

    class Died(BaseException):
        pass

    async def dying(*args: Any, **options: Any) -> None:
        nonlocal times
        times += 1
        if times == dies_at:
            await publish(*args, **options)
            raise Died

        await publish(*args, **options)

    house.publisher.publish = dying  # type: ignore[method-assign]
    try:
        await house.restoring().end()
    except Died:
        house.publisher.publish = publish  # type: ignore[method-assign]
        assert await house.restoring().alive() == ""
        await house.restoring().end()

    await house.queue()
    assert await house.sent() == {}
    assert await house.told() == {
        (job, "Failed", "may_have_been_sent"): 450,
        (unqueued, "Failed", "may_have_been_sent"): 5,
    }


async def test_what_was_queued_of_a_chunk_that_was_not_finished_ends_once(house: House) -> None:
    job = await house.job(6, queued=False)

    async def dies(*_: Any) -> None:
        raise RuntimeError("it died")

    finish = house.store.finish
    house.store.finish = dies  # type: ignore[method-assign,assignment]
    with pytest.raises(RuntimeError):
        await house.queue()
    house.store.finish = finish  # type: ignore[method-assign]

    await house.restoring().end()
    await house.queue()

    assert (await house.told())[job, "Failed", "may_have_been_sent"] == 6
    assert await house.sent() == {}


async def test_a_rejected_recipient_stays_rejected(house: House) -> None:
    job = ids.new_job_id(BEFORE_MS - HOUR_MS, b"\x01\x02\x03\x04\x05\x06", P)
    people = [Waiting(email=f"u0@{SITE}"), Waiting(email="nobody", rejected="invalid_address")]
    await house.store.store(job, new_job(total=2), [(0, pack_waiting(0, people))], "queueing")

    await house.restoring().end()

    assert await house.told() == {
        (job, "Failed", "may_have_been_sent"): 1,
        (job, "Rejected", "invalid_address"): 1,
    }


async def test_a_relay_that_lives_is_known(house: House) -> None:
    await house.job(1)

    nobody = await house.restoring().alive()
    await house.queues.lease(house.partition, "r1", 60_000, 1, 1)

    assert (nobody, await house.restoring().alive()) == ("", "relay")


async def test_a_reader_of_chunks_that_lives_is_known(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.queueing.restoring.PATIENCE_S", 2 * bus.BLOCK_MS / 1_000)
    consumer = bus.Consumer(
        house.client, P, lambda p: keys.intake(p, 1), keys.GROUP_QUEUEING, "lives", house.queueing.take,
        remove=True, claim_after_ms=40,
    )  # fmt: skip
    await consumer.create_groups()
    stopping = asyncio.Event()
    reading = asyncio.create_task(consumer.run(stopping))

    async with asyncio.timeout(30):
        while not await house.restoring().alive():
            pass
    stopping.set()
    await reading

    assert await house.restoring().alive() == ""


async def test_a_copy_that_was_taken_and_put_back_repeats_nothing(tmp_path: Path) -> None:
    server = RedisServer(tmp_path / "first")
    server.start()
    client: Any = redis.connect(server.url)
    house = House(client)
    job = await house.job(20)
    await house.deliver(5)
    await client.save()
    (tmp_path / "second").mkdir()
    shutil.copy(tmp_path / "first" / "dump.rdb", tmp_path / "second" / "dump.rdb")
    await house.deliver(15)  # after the copy was taken
    await redis.close(client)
    server.stop()

    restored = RedisServer(tmp_path / "second", "--appendonly", "no")
    restored.start()
    client = redis.connect(restored.url)
    house = House(client)
    try:
        ended = await house.restoring(NOW_MS).end()

        assert ended.messages == 16
        assert await house.told() == {(job, "Delivered", ""): 5, (job, "Failed", "may_have_been_sent"): 15}
        assert await house.sent() == {}
    finally:
        await redis.close(client)
        restored.stop()
