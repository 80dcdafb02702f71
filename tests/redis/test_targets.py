"""Contacts as recipients of a job, in a real Redis and a real cluster: each once, in order, whoever dies."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from random import Random
from typing import Any

import pytest

from services.queueing import selecting as filling
from services.queueing.selecting import Selecting, Selections
from services.queueing.store import JobStore
from shared.redis import keys, stops
from shared.redis.cancels import Cancel, CancelList, Cancels
from shared.redis.ready import LANES
from shared.redis.recipients import Waiting, pack_page, read
from shared.redis.redis import RedisAway
from shared.redis.result_sets import ResultSets
from shared.redis.targets import Meant, Targets
from shared.words import ids
from tests.jobs import new_job

P = 2
NOW_MS = 1_790_000_000_000
LANE = LANES["bulk"]
JOB = ids.new_job_id(NOW_MS, b"target", P)
HERE = ids.job_partition(JOB, P)


class Bench:
    def __init__(self, client: Any) -> None:
        self.client = client
        self.now_ms = NOW_MS
        self.store = JobStore(client, P, 1_000)
        self.marks = CancelList(client)
        self.cancels = Cancels(self.marks)
        self.contacts = Targets(client, P, most_pages=4)

    async def wanted(self, start: Any = "selecting") -> None:
        new = new_job(selection=json.dumps({"segment": 3}).encode())
        assert (await self.store.store(JOB, new, [], start)).word == "stored"

    def selections(self, most_ahead: int = 1_000) -> Selections:
        return Selections(self.client, P, 1_000, most_ahead)

    def selecting(self, most_ahead: int = 1_000) -> Selecting:
        store = self.selections(most_ahead)
        return Selecting(store, ResultSets(self.client, P), self.cancels, P, lambda: self.now_ms, bytes)

    async def hand(self, after: int, last: int, *, is_end: bool = False, size: int = 3) -> str:
        """Contacts `after + 1` to `last`, in pages of so many."""
        numbers = range(after + 1, last + 1)
        pages = [pack_page([one(number) for number in numbers[at : at + size]]) for at in range(0, len(numbers), size)]
        return await self.contacts.hand(JOB, after, last, pages, len(numbers), self.now_ms, is_end=is_end)

    async def field(self, name: str) -> str:
        found = await self.client.hget(keys.job(HERE, JOB), name)
        return "" if found is None else str(found.decode())

    async def taken(self) -> list[str]:
        """The addresses of the job, in the order of their ordinals, which have no gap."""
        found: list[str] = []
        for member in await self.client.zrange(keys.job_recipients(HERE, JOB), 0, -1):
            chunk = read(member)
            assert chunk.first_ordinal == len(found)
            found += [recipient.email for recipient in chunk.recipients()]
        return found

    async def left(self) -> int:
        """Keys of the hand-over that are there still."""
        names = (keys.target(HERE, JOB), keys.target_pages(HERE, JOB), keys.targets(HERE), keys.selecting(HERE))
        return sum([await self.client.exists(name) for name in names])


def one(number: int) -> Waiting:
    return Waiting(email=f"p{number}@exemple.fr", metadata={"contact": str(number)})


def addresses(last: int) -> list[str]:
    return [one(number).email for number in range(1, last + 1)]


@pytest.fixture
def bench(client: Any, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(filling, "PAGE_S", 0.001)
    monkeypatch.setattr(filling, "FULL_S", 0.001)
    return Bench(client)


async def test_contacts_are_asked_and_what_they_hand_over_becomes_the_recipients_of_the_job(bench: Bench) -> None:
    await bench.wanted()
    await bench.selecting().look(asyncio.Event())
    assert await bench.contacts.claim(HERE, bench.now_ms) == JOB
    asked = await bench.contacts.asked(JOB)
    assert asked is not None
    assert (asked.tenant, json.loads(asked.selection), asked.position) == ("acme", {"segment": 3}, 0)

    assert await bench.contacts.tell(JOB, bench.now_ms, meant=Meant(8, 3, 2, "Paris"))
    assert await bench.hand(0, 8) == "handed"
    assert await bench.hand(8, 8, is_end=True) == "handed"
    bench.now_ms += 1_000
    await bench.selecting().look(asyncio.Event())

    assert await bench.taken() == addresses(8)
    assert (await bench.field("state"), await bench.field("total")) == ("queueing", "8")
    assert json.loads(await bench.field("segment")) == {"selected": 8, "segment": 3, "version": 2, "name": "Paris"}
    assert await bench.client.xlen(keys.intake(HERE, LANE)) == 3
    assert await bench.left() == 0


async def test_a_segment_in_which_nobody_is_makes_a_job_that_is_done(bench: Bench) -> None:
    await bench.wanted()

    await bench.selecting().look(asyncio.Event())
    assert await bench.hand(0, 0, is_end=True) == "handed"
    bench.now_ms += 1_000
    await bench.selecting().look(asyncio.Event())

    assert (await bench.field("state"), await bench.taken()) == ("queued", [])


async def test_pages_that_nobody_takes_yet_are_bounded(bench: Bench) -> None:
    await bench.wanted()
    await bench.selecting().look(asyncio.Event())

    found = [await bench.hand(3 * n, 3 * n + 3) for n in range(5)]

    assert found == ["handed"] * 4 + ["full"]
    assert (await bench.contacts.asked(JOB)).position == 12  # type: ignore[union-attr]


async def test_a_job_runs_ahead_of_queueing_by_so_much_and_waits_then(bench: Bench) -> None:
    await bench.wanted()
    await bench.selecting().look(asyncio.Event())
    await bench.hand(0, 12)
    bench.now_ms += 1_000

    await bench.selecting(most_ahead=2).look(asyncio.Event())

    assert await bench.taken() == addresses(6)
    assert await bench.client.llen(keys.target_pages(HERE, JOB)) == 2


async def test_who_hands_over_what_another_did_already_does_nothing(bench: Bench) -> None:
    await bench.wanted()
    await bench.selecting().look(asyncio.Event())
    await bench.hand(0, 5)

    assert [await bench.hand(0, 5), await bench.hand(0, 7), await bench.hand(3, 6)] == ["moved"] * 3
    assert await bench.hand(5, 6, is_end=True) == "handed"
    assert await bench.hand(6, 7) == "ended"
    bench.now_ms += 1_000
    await bench.selecting().look(asyncio.Event())

    assert await bench.taken() == addresses(6)


class Dying:
    """Both sides, each of whose steps may be the last, before or after it happened. What one does then is what another
    would, who comes after them."""

    def __init__(self, bench: Bench, seed: int, last: int) -> None:
        self._bench = bench
        self._chance = Random(seed)
        self._last = last

    async def run(self) -> None:
        for _ in range(2_000):
            if await self._bench.field("state") != "selecting":
                return
            self._bench.now_ms += self._chance.choice([100, 11_000])
            with suppress(RedisAway):
                await self._chance.choice([self._contacts, self._queueing])()

    async def _step(self, step: Callable[..., Awaitable[Any]], *args: Any, **more: Any) -> Any:
        if self._chance.random() < 0.3:
            raise RedisAway("killed before")
        found = await step(*args, **more)
        if self._chance.random() < 0.3:
            raise RedisAway("killed after")
        return found

    async def _contacts(self) -> None:
        contacts, now_ms = self._bench.contacts, self._bench.now_ms
        if await self._step(contacts.claim, HERE, now_ms) is None:
            return
        if (asked := await self._step(contacts.asked, JOB)) is None:
            return
        word, position = "handed", asked.position
        while word == "handed":
            following = min(self._last, position + self._chance.randint(1, 9))
            word = await self._step(self._bench.hand, position, following, is_end=position == self._last, size=2)
            position = following

    async def _queueing(self) -> None:
        selections, now_ms = self._bench.selections(), self._bench.now_ms
        job = await self._step(selections.claim, HERE, now_ms)
        if job is None or (wanted := await selections.wanted(job)) is None:
            return
        word, why = "appended", ""
        while word == "appended":
            word, _, why, _ = await self._step(selections.take, wanted, now_ms)
        if word == "done":
            await self._step(selections.end, job, why)


@pytest.mark.parametrize("seed", range(25))
async def test_promise_1_whoever_dies_wherever_nobody_is_lost_or_doubled(bench: Bench, seed: int) -> None:
    await bench.wanted()

    await Dying(bench, seed, 40).run()

    assert await bench.taken() == addresses(40)
    assert await bench.field("total") == "40"
    assert await bench.left() == 0


async def test_a_job_waits_for_contacts_that_are_not_there_and_says_so(bench: Bench) -> None:
    await bench.wanted()

    await bench.selecting().look(asyncio.Event())
    assert await bench.field("awaited") == ""
    bench.now_ms += 16_000
    await bench.selecting().look(asyncio.Event())
    waits = await bench.field("awaited")
    await bench.hand(0, 2)
    again = await bench.field("awaited")

    assert (waits, again, await bench.field("state")) == ("contacts", "", "selecting")


async def test_a_job_waits_for_their_database_and_says_so(bench: Bench) -> None:
    await bench.wanted()
    await bench.selecting().look(asyncio.Event())

    assert await bench.contacts.tell(JOB, bench.now_ms, awaited="database", until_ms=bench.now_ms + 2_000)

    assert await bench.field("awaited") == "database"
    assert await bench.contacts.claim(HERE, bench.now_ms + 1_999) is None
    assert await bench.contacts.claim(HERE, bench.now_ms + 2_000) == JOB


async def test_a_segment_that_cannot_be_read_ends_the_job_with_what_is_wrong(bench: Bench) -> None:
    await bench.wanted()
    await bench.selecting().look(asyncio.Event())

    await bench.contacts.tell(JOB, bench.now_ms, why="segment_unreadable", detail="$.of[0].field: no such field")
    bench.now_ms += 1_000
    await bench.selecting().look(asyncio.Event())

    assert await bench.field("state") == "queued"
    assert await bench.field("unselected") == "segment_unreadable"
    assert await bench.field("unselected_detail") == "$.of[0].field: no such field"
    assert await bench.left() == 0


async def test_a_job_that_is_cancelled_takes_nobody_else_whether_contacts_answer_or_not(bench: Bench) -> None:
    await bench.wanted()
    await bench.selecting().look(asyncio.Event())
    await bench.hand(0, 6)
    await bench.marks.add(stops.of_job(JOB), Cancel("acme", bench.now_ms, "tenant"))
    await bench.cancels.load()
    bench.now_ms += 1_000

    await bench.selecting().look(asyncio.Event())

    assert (await bench.field("state"), await bench.field("unselected")) == ("queued", "cancelled")
    assert await bench.hand(6, 7) == "ended"
    assert not await bench.contacts.tell(JOB, bench.now_ms, awaited="database")
    assert await bench.contacts.asked(JOB) is None
    assert await bench.left() == 0


async def test_whether_there_are_contacts_is_known_for_an_hour(bench: Bench) -> None:
    assert not await bench.contacts.is_here()

    await bench.contacts.tell_here()

    assert await bench.contacts.is_here()
    assert 0 < await bench.client.pttl(keys.contacts_here()) <= 3_600_000
