"""Recipients of a job out of a set, in a real Redis and a real cluster: each once, whoever dies, within bounds."""

import asyncio
import json
from collections import Counter
from typing import Any

import pytest

from services.queueing import recipients as chunked
from services.queueing import selecting as filling
from services.queueing.selecting import Selecting, Selections, carried
from services.queueing.store import JobStore
from shared.redis import keys
from shared.redis.cancels import Cancel, CancelList, Cancels
from shared.redis.ready import LANES
from shared.redis.recipients import Viewed, Waiting, pack_slim, read
from shared.redis.redis import RedisAway
from shared.redis.result_sets import ResultSets
from shared.words import events, ids
from shared.words.consent import Declared
from tests.jobs import new_job
from tests.redis.test_result_sets import A, B, House, P, person

NOW_MS = 1_790_000_000_000
LANE = LANES["bulk"]
BOTH = {"or": [{"job": A, "state": "selected"}, {"job": B, "state": "selected"}]}
JOB = ids.new_job_id(NOW_MS, b"select", P)
HERE = ids.job_partition(JOB, P)
RUNNING = asyncio.Event()


class Bench(House):
    """`dies_after`: how many chunks are appended before storage goes away."""

    dies_after = 1_000_000

    def __init__(self, client: Any) -> None:
        super().__init__(client)
        self.store = JobStore(client, P, 1_000)
        self.marks = CancelList(client)
        self.cancels = Cancels(self.marks)
        self.refused = asyncio.Semaphore(0)

    async def wanted(self, given: Any, start: Any = "selecting", **fields: Any) -> None:
        new = new_job(selection=json.dumps(given).encode(), **fields)
        stored = await self.store.store(JOB, new, [], start, fields.get("send_at_ms", 0))
        assert stored.word == "stored"

    def selecting(self, most_ahead: int = 1_000) -> Selecting:
        bench = self

        class Store(Selections):
            async def append(self, *args: Any) -> tuple[str, int]:
                if bench.dies_after == 0:
                    raise RedisAway("killed")
                found = await super().append(*args)
                if found[0] == "full":
                    bench.refused.release()
                bench.dies_after -= 1
                return found

        store = Store(self.client, P, 1_000, most_ahead)
        return Selecting(store, ResultSets(self.client, P), self.cancels, P, lambda: NOW_MS, bytes)

    async def state(self) -> str:
        found = await self.client.hget(keys.job(HERE, JOB), "state")
        return str(found.decode())

    async def taken(self) -> list[str]:
        """The addresses of the job, in the order of their ordinals, which have no gap."""
        found: list[str] = []
        for member in await self.client.zrange(keys.job_recipients(HERE, JOB), 0, -1):
            chunk = read(member)
            assert chunk.first_ordinal == len(found)
            found += [one.email for one in chunk.recipients()]
        return found

    async def entries(self) -> list[int]:
        """First ordinals of the chunks that wait to be queued."""
        found = await self.client.xrange(keys.intake(HERE, LANE), "-", "+")
        intakes = [events.decode("Intake", fields[b"b"]) for _, fields in found]
        return [one.first_ordinal for one in intakes if isinstance(one, events.Intake)]


@pytest.fixture
def bench(client: Any, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(chunked, "CHUNK", 10)
    return Bench(client)


async def test_a_job_gets_who_is_in_its_set_each_once(bench: Bench) -> None:
    await bench.job(A, [person(n) for n in range(30)], chunk=7)
    await bench.job(B, [person(n) for n in range(20, 55)], chunk=7)
    await bench.wanted(BOTH)

    assert await bench.selecting().look(RUNNING)

    assert sorted(await bench.taken()) == sorted(person(n).email for n in range(55))
    assert await bench.entries() == [0, 10, 20, 30, 40, 50]
    assert await bench.state() == "queueing"
    assert await bench.client.exists(keys.job_seen(HERE, JOB), keys.selecting(HERE)) == 0
    assert not await bench.selecting().look(RUNNING)


@pytest.mark.parametrize("dies_after", [0, 1, 3, 5])
async def test_promise_1_who_dies_is_followed_and_nobody_is_doubled_or_lost(bench: Bench, dies_after: int) -> None:
    await bench.job(A, [person(n) for n in range(30)], chunk=7)
    await bench.job(B, [person(n) for n in range(20, 55)], chunk=7)
    await bench.wanted(BOTH)
    bench.dies_after = dies_after

    with pytest.raises(RedisAway):
        await bench.selecting().fill(JOB, RUNNING)
    before = await bench.taken()
    assert await bench.state() == "selecting"
    bench.dies_after = 1_000_000
    await bench.selecting().fill(JOB, RUNNING)

    after = await bench.taken()
    assert after[: len(before)] == before
    assert Counter(after) == Counter(person(n).email for n in range(55))
    assert len(await bench.entries()) == len(set(await bench.entries()))
    assert await bench.client.hget(keys.job(HERE, JOB), "total") == b"55"


async def test_two_at_once_take_nobody_twice(bench: Bench) -> None:
    await bench.job(A, [person(n) for n in range(95)])
    await bench.wanted({"job": A, "state": "selected"})

    await asyncio.gather(*(bench.selecting().fill(JOB, RUNNING) for _ in range(3)))

    assert Counter(await bench.taken()) == Counter(person(n).email for n in range(95))


async def test_a_job_whose_set_takes_long_to_read_is_left_alone_by_others(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filling, "RENEW_S", 0.01)
    await bench.job(A, [person(n) for n in range(5)])
    await bench.wanted({"job": A, "state": "selected"})
    store = Selections(bench.client, P, 1_000)
    await store.claim(HERE, NOW_MS)
    slow = bench.selecting()
    go_on, clock_ms = asyncio.Event(), NOW_MS
    monkeypatch.setattr(slow, "_now_ms", lambda: clock_ms)
    monkeypatch.setattr(slow, "_sets", _Slow(bench.client, go_on))

    reading = asyncio.create_task(slow.fill(JOB, RUNNING))
    clock_ms += 9_000
    name = keys.selecting(HERE)
    while await bench.client.zscore(name, JOB) < clock_ms + 1_001:  # noqa: ASYNC110 - another task's, in Redis
        await asyncio.sleep(0.01)
    taken_by_another = await store.claim(HERE, clock_ms + 1_000)
    go_on.set()
    await reading
    await asyncio.sleep(0.05)

    assert taken_by_another is None
    assert await bench.taken() == [person(n).email for n in range(5)]
    assert not await bench.client.exists(name)


class _Slow(ResultSets):
    """Reads no set before it is told to."""

    def __init__(self, client: Any, go_on: asyncio.Event) -> None:
        super().__init__(client, P)
        self._go_on = go_on

    async def named(self, tenant: str, expression: Any) -> Any:
        await self._go_on.wait()
        return await super().named(tenant, expression)


async def test_a_job_is_not_queued_whole_before_it_has_all(bench: Bench) -> None:
    await bench.job(A, [person(n) for n in range(25)])
    await bench.wanted({"job": A, "state": "selected"})
    bench.dies_after = 1
    with pytest.raises(RedisAway):
        await bench.selecting().fill(JOB, RUNNING)

    await _queue(bench)
    half_way = await bench.state()
    bench.dies_after = 1_000_000
    await bench.selecting().fill(JOB, RUNNING)
    taken = await bench.state()
    await _queue(bench)

    assert (half_way, taken, await bench.state()) == ("selecting", "queueing", "queued")


async def _queue(bench: Bench) -> None:
    """As queueing ends chunks."""
    stream = keys.intake(HERE, LANE)
    if not await bench.client.exists(keys.readers(stream)):
        await bench.client.xgroup_create(stream, keys.GROUP_QUEUEING, id="0", mkstream=True)
        await bench.client.hset(keys.readers(stream), "looked", 0)
    found = await bench.client.xreadgroup(keys.GROUP_QUEUEING, "me", {stream: ">"})
    for number, fields in [row for _, rows in found for row in rows]:
        intake = events.decode("Intake", fields[b"b"])
        assert isinstance(intake, events.Intake)
        chunk = await bench.store.chunk(JOB, intake.first_ordinal)
        assert chunk is not None
        slim, count = pack_slim(intake.first_ordinal, chunk.waiting()), len(chunk.rows())
        await bench.store.finish("acme", JOB, LANE, intake.first_ordinal, slim, count, number.decode())


async def test_an_empty_set_is_a_job_that_is_done(bench: Bench) -> None:
    await bench.job(A, [person(1)])
    await bench.wanted({"job": A, "state": "bounced"})

    await bench.selecting().look(RUNNING)

    assert (await bench.state(), await bench.taken()) == ("queued", [])


async def test_it_runs_ahead_of_queueing_by_so_much_and_waits_then(bench: Bench) -> None:
    await bench.job(A, [person(n) for n in range(95)])
    await bench.wanted({"job": A, "state": "selected"})
    stopping = asyncio.Event()

    filling = asyncio.create_task(bench.selecting(most_ahead=3).fill(JOB, stopping))
    for _ in range(3):
        await bench.refused.acquire()
    assert len(await bench.entries()) == 3
    stopping.set()
    await filling

    assert await bench.state() == "selecting"  # others go on
    assert await bench.client.hget(keys.intake_use(HERE, LANE), "acme") == b"3"


async def test_a_job_that_is_named_and_gone_takes_nobody_else(bench: Bench) -> None:
    await bench.job(A, [person(1)])
    await bench.wanted({"and": [{"job": A, "state": "selected"}, {"not": {"job": B, "state": "clicked"}}]})

    await bench.selecting().look(RUNNING)

    assert (await bench.state(), await bench.taken()) == ("queued", [])
    assert await bench.client.hget(keys.job(HERE, JOB), "unselected") == b"job_gone"


async def test_another_tenants_job_is_as_one_that_is_gone(bench: Bench) -> None:
    await bench.job(A, [person(1)], tenant="beta")
    await bench.wanted({"job": A, "state": "selected"})

    await bench.selecting().look(RUNNING)

    assert await bench.taken() == []


async def test_a_cancelled_job_takes_nobody(bench: Bench) -> None:
    await bench.job(A, [person(1)])
    await bench.wanted({"job": A, "state": "selected"})
    await bench.marks.add(f"job:{JOB}", Cancel("acme", NOW_MS + 1, "tenant"))
    await bench.cancels.load()

    await bench.selecting().look(RUNNING)

    assert (await bench.state(), await bench.taken()) == ("queued", [])


async def test_a_job_for_later_takes_who_is_in_its_set_when_it_is_due(bench: Bench) -> None:
    await bench.job(A, [person(1)])
    await bench.wanted({"job": A, "state": "selected"}, "scheduled", send_at_ms=NOW_MS + 1)
    assert not await bench.selecting().look(RUNNING)
    await bench.job(A, [person(1), person(2)])

    assert await bench.store.due(HERE, NOW_MS + 1) == [JOB]
    assert await bench.store.start("", JOB, NOW_MS + 1) == ("selecting", "")
    await bench.selecting().look(RUNNING)

    assert sorted(await bench.taken()) == [person(1).email, person(2).email]
    assert await bench.client.exists(keys.schedule(HERE)) == 0


async def test_what_a_job_said_of_somebody_holds_in_the_next(client: Any) -> None:
    refused = Declared(kind="person", optin=False).code
    professional = Declared(kind="professional", optin=False).code

    def rejected(email: str, declared: int, stream: str = "bulk") -> str | None:
        return carried(Viewed(email, declared=declared), stream).rejected

    assert rejected("a@example.org", refused) == "not_opted_in"
    assert rejected("a@example.org", refused, "transactional") is None
    assert rejected("a@example.org", professional) is None
    assert rejected("no address", 0) == "invalid_address"
    ana = carried(Viewed("a@example.org", {"crm_id": "1"}, "Ana", untracked=True, declared=professional), "bulk")
    assert ana == Waiting(
        email="a@example.org", name="Ana", metadata={"crm_id": "1"}, untracked=True, declared=professional
    )
