"""Limits against a real Redis: exact over several relays, in order, and given back by the dead."""

import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator, Sequence
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest

from services.relay.limits import permits
from services.relay.limits import slots as slots_module
from services.relay.limits.permits import _PERMIT, Kind, Limit, Permits, Wait, _Asked, _question
from services.relay.limits.slots import Slot, Slots
from services.relay.limits.tending import tend
from shared.redis import keys, redis
from shared.redis.ready import BULK, LANES
from shared.words.rates import (
    DELAY_MS,
    Rate,
    allowed,
    parse_rate,
    spacing,
)
from tests.permits import permitted
from tests.servers import RedisServer

ROOT = Path(__file__).resolve().parents[2]


class Clock:
    """A monotonic clock that a test may push on: what a process that was stopped finds."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead_s

    def stall(self, seconds: float) -> None:
        self.ahead_s += seconds


class Still(Clock):
    """One that stands but for what the test says: nothing is late because the machine is busy."""

    def __call__(self) -> float:
        return self.ahead_s


def limited(name: str, *rates: str, quota: int = 0, until: int = 0) -> Limit:
    kind: Kind = "source" if "source:" in name else "tenant" if name.startswith("tenant:") else "site"
    return Limit(name, kind, tuple(parse_rate(rate) for rate in rates), quota=quota, quota_until_ms=until)


async def _now_ms(client: Any) -> int:
    seconds, micros = await client.time(target_nodes="random") if _is_cluster(client) else await client.time()
    return int(seconds * 1000 + micros // 1000)


def _is_cluster(client: Any) -> bool:
    return type(client).__name__ == "RedisCluster"


async def _slot(limits: Slots, *some: Limit) -> Slot:
    slot = await limits.connect(some)
    assert isinstance(slot, Slot)
    return slot


async def _taken(limits: Slots, limit: Limit) -> Slot:
    for _ in range(100):
        if isinstance(slot := await limits.connect([limit]), Slot):
            return slot
        await asyncio.sleep(slot.ms / 1000)
    raise AssertionError("the slot was not given back")


# Messages


async def test_what_no_limit_counts_costs_no_round_trip() -> None:
    limits = Permits(None)  # type: ignore[arg-type]

    assert await limits.permit([]) is None
    assert await limits.permit([Limit("site:a", "site", connections=5)]) is None


async def test_a_message_is_permitted_by_all_its_limits_or_counted_by_none(client: Any) -> None:
    limits = Permits(client)
    site, source = limited("site:a", "2/h burst 0"), limited("site:a source:x", "1/h burst 0")

    first = await limits.permit([site, source])
    second = await limits.permit([site, source])
    third = await limits.permit([site])

    assert first is None
    assert isinstance(second, Wait)
    assert second.limit.name == "site:a source:x"
    assert 3_590_000 < second.ms <= 3_601_000
    assert isinstance(third, Wait)  # 2/h without burst is one each half hour,
    assert 1_790_000 < third.ms <= 1_801_000  # and the refused one has not moved that


async def test_several_rates_of_one_limit_hold_together(client: Any) -> None:
    limits = Permits(client)
    both = limited("site:a", "100/s burst 50", "100/h burst 0")

    answers = [await limits.permit([both]) for _ in range(5)]

    assert sum(answer is None for answer in answers) == 1
    assert answers[-1] is not None
    assert answers[-1].ms > 30_000


async def test_of_two_limits_that_refuse_the_longer_wait_is_told(client: Any) -> None:
    limits = Permits(client)
    short, long = limited("site:a", "1/m burst 0"), limited("tenant:t", "1/h burst 0")
    await limits.permit([short, long])

    answer = await limits.permit([short, long])

    assert answer is not None
    assert answer.limit.name == "tenant:t"
    assert answer.ms > 3_000_000


async def test_a_quota_is_used_up_and_is_whole_again_with_the_next_day(client: Any) -> None:
    limits = Permits(client)
    now = await _now_ms(client)
    today, tomorrow = (limited("warmup:a1 gmail", quota=2, until=now + at) for at in (60_000, 120_000))

    answers = [await limits.permit([today]) for _ in range(3)]
    next_day = [await limits.permit([tomorrow]) for _ in range(3)]
    behind = await limits.permit([today])  # a relay whose clock has not noticed

    assert [answer is None for answer in answers] == [True, True, False]
    assert answers[2] is not None
    assert 50_000 < answers[2].ms <= 60_000
    assert [answer is None for answer in next_day] == [True, True, False]
    assert behind is not None


async def test_a_quota_of_nothing_permits_nothing(client: Any) -> None:
    limits = Permits(client)

    assert await limits.permit([limited("warmup:a", quota=0, until=await _now_ms(client) + 60_000)]) is not None


async def test_a_quota_holds_when_many_ask_at_once(client: Any) -> None:
    relays = [Permits(client) for number in range(3)]
    quota = limited("warmup:a", quota=100, until=await _now_ms(client) + 60_000)

    answers = await asyncio.gather(*(relay.permit([quota]) for relay in relays for _ in range(60)))

    assert sum(answer is None for answer in answers) == 100


async def test_many_refused_at_once_are_told_to_come_one_after_the_other(client: Any) -> None:
    limits = Permits(client)
    slow = limited("site:a", "10/m burst 0")
    await limits.permit([slow])

    answers = await asyncio.gather(*(limits.permit([slow]) for _ in range(20)))

    waits = [answer.ms for answer in answers if answer is not None]
    apart = [later - earlier for earlier, later in pairwise(waits[1:])]
    assert len(waits) == 20
    assert min(apart) >= 6_000


@pytest.mark.parametrize("rate", ["300/s", "100/s burst 1", "4/s burst 0"])
async def test_promise_6_three_relays_together_never_exceed_rate_and_burst_in_any_second(
    client: Any, rate: str
) -> None:
    relays = [Permits(client) for number in range(3)]
    limit = limited("site:a", rate)
    until, enough = time.monotonic() + 2.5, limit.rates[0].per_s
    seen: list[float] = []
    stalled_s = 0.0

    def goes_on() -> bool:
        """Longer where the machine is so busy that nothing would be seen."""
        return time.monotonic() < until or len(seen) < enough

    async def watch() -> None:
        """A machine that does not let this process run delays messages by more than is kept for that."""
        nonlocal stalled_s
        while goes_on():
            begun = time.monotonic()
            await asyncio.sleep(0.005)
            stalled_s = max(stalled_s, time.monotonic() - begun - DELAY_MS / 1000)

    async def send(relay: Permits) -> None:
        while goes_on():
            if (wait := await relay.permit([limit, Limit("site:a source:x", "source")], patience_ms=100)) is None:
                seen.append(time.monotonic())
            else:
                await asyncio.sleep(wait.ms / 1000)

    async with asyncio.timeout(60):
        await asyncio.gather(watch(), *(send(relay) for relay in relays for _ in range(10)))

    seen.sort()
    most = allowed(limit.rates[0], 1000)
    assert all(seen[at + most] - seen[at] >= 1.0 - stalled_s for at in range(len(seen) - most))


async def test_who_has_patience_goes_in_the_order_of_asking(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(permits, "LATE_S", 60.0)  # a permit that comes too late is asked for again, behind others
    limits = Permits(client)
    slow = limited("site:a", "100/s burst 0")
    order: list[int] = []

    async def ask(number: int) -> None:
        assert await limits.permit([slow], patience_ms=60_000) is None
        order.append(number)

    await asyncio.gather(*(ask(number) for number in range(30)))

    assert order == list(range(30))


async def test_what_people_wait_for_goes_before_the_bulk_that_waits_for_the_same_limit(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(permits, "LATE_S", 60.0)
    limits = Permits(client)
    slow = limited("site:a", "20/s burst 0")
    order: list[str] = []
    first = asyncio.Event()

    async def ask(name: str, lane: int) -> None:
        assert await limits.permit([slow], 60_000, lane) is None
        order.append(name)
        first.set()

    async with asyncio.TaskGroup() as group:
        for number in range(10):
            group.create_task(ask(f"bulk{number}", BULK))
        await first.wait()
        gone = len(order)
        for number in range(2):
            group.create_task(ask(f"code{number}", LANES["transactional"]))

    bulk = [name for name in order if name.startswith("bulk")]
    assert bulk == sorted(bulk)
    codes = [order.index(f"code{number}") for number in range(2)]
    assert codes == sorted(codes)
    # A few of bulk may have had theirs, or been asked about, when they came; ten waited.
    assert codes[1] <= gone + 4


async def test_one_between_two_limits_is_not_starved_by_many_under_one(client: Any) -> None:
    limits = Permits(client)
    site, job = limited("site:a", "50/s burst 0"), limited("job:j", "5/s burst 0")
    done = asyncio.Event()

    async def many() -> None:
        while not done.is_set():
            await limits.permit([site], patience_ms=60_000)

    async def one() -> None:
        for _ in range(3):
            assert await limits.permit([site, job], patience_ms=60_000) is None
        done.set()

    async with asyncio.timeout(60):
        await asyncio.gather(one(), *(many() for _ in range(10)))


async def test_a_wait_beyond_the_patience_is_told_at_once(client: Any) -> None:
    limits = Permits(client)
    slow = limited("site:a", "1/h burst 0")
    await limits.permit([slow])

    async with asyncio.timeout(60):
        assert await limits.permit([slow], patience_ms=1000) is not None


async def test_a_permit_that_came_too_late_is_asked_for_again(client: Any) -> None:
    clock = Still()
    calls = 0

    class Slow:
        async def evalsha(self, *args: Any) -> object:
            nonlocal calls
            calls += 1
            found = await client.evalsha(*args)
            clock.ahead_s += 0.2 if calls == 1 else 0.0
            return found

        eval = client.eval

    await Permits(client).permit([limited("site:b", "1/s")])  # the script is loaded
    limits = Permits(Slow(), monotonic=clock)  # type: ignore[arg-type]
    slow = limited("site:a", "1/h burst 0", quota=1, until=await _now_ms(client) + 60_000)

    assert await limits.permit([slow]) is None  # the hour that the first had taken was given back, and the quota

    assert calls == 2
    assert await limits.permit([slow]) is not None


async def test_a_permit_that_a_busy_process_comes_too_late_to_use_is_asked_for_again(client: Any) -> None:
    clock = Still()
    calls = 0

    class Counted:
        async def evalsha(self, *args: Any) -> object:
            nonlocal calls
            calls += 1
            found = await client.evalsha(*args)
            if calls == 1:  # what is next in the loop takes long, after the answer and before who asked goes on
                asyncio.get_running_loop().call_soon(clock.stall, 0.2)
            return found

        eval = client.eval

    await Permits(client).permit([limited("site:b", "1/s")])  # the script is loaded
    limits = Permits(Counted(), monotonic=clock)  # type: ignore[arg-type]
    slow = limited("site:a", "1/h burst 0", quota=1, until=await _now_ms(client) + 60_000)

    assert await limits.permit([slow]) is None  # the hour that the first had taken was given back, and the quota

    assert calls == 2
    assert await limits.permit([slow]) is not None


async def test_a_redis_that_has_become_slow_permits_after_a_while(client: Any) -> None:
    clock = Still()

    class Slow:
        async def evalsha(self, *args: Any) -> object:
            clock.ahead_s += 0.2
            return await client.evalsha(*args)

        eval = client.eval

    await Permits(client).permit([limited("site:b", "1/s")])
    limits = Permits(Slow(), monotonic=clock)  # type: ignore[arg-type]

    async with asyncio.timeout(60):
        assert await limits.permit([limited("site:a", "1000/s burst 500")]) is None


async def test_without_redis_nothing_is_permitted(redis_server: RedisServer) -> None:
    nobody = redis.connect("redis://127.0.0.1:1")
    limits = Permits(nobody)

    answers = await asyncio.gather(
        *(limits.permit([limited("site:a", "1/s")]) for _ in range(3)), return_exceptions=True
    )

    assert all(isinstance(answer, redis.RedisAway) for answer in answers)
    with pytest.raises(redis.RedisAway):
        await Slots(nobody, "r1").connect([Limit("site:a", "site", connections=1)])
    await redis.close(nobody)


async def test_who_gave_up_asking_holds_up_nobody(client: Any) -> None:
    limits = Permits(client)
    slow = limited("site:a", "20/s burst 0")
    await limits.permit([slow])

    given_up = [asyncio.create_task(limits.permit([slow], patience_ms=60_000)) for _ in range(50)]
    await asyncio.sleep(0)
    for task in given_up:
        task.cancel()
    await asyncio.gather(*given_up, return_exceptions=True)

    async with asyncio.timeout(60):
        assert await limits.permit([slow], patience_ms=60_000) is None


async def test_a_limit_leaves_redis_when_it_is_empty(client: Any) -> None:
    limits = Permits(client)
    await limits.permit([limited("site:a", "6/m")])
    await limits.permit([limited("site:b", "1000/d")])

    assert 0 < await client.pttl(keys.limit("site:a")) <= 11_100
    assert 0 < await client.pttl(keys.limit("site:b")) <= 90_000


async def test_a_changed_rate_takes_over_at_once(client: Any) -> None:
    limits = Permits(client)
    await limits.permit([limited("site:a", "1/h burst 0")])

    slow = await limits.permit([limited("site:a", "1/h burst 0")])
    faster = await limits.permit([Limit("site:a", "site", (Rate(7200, 3_600_000, 0),))])

    assert slow is not None
    assert slow.ms > 3_000_000
    assert faster is not None
    assert faster.ms <= 1000


async def test_the_script_permits_what_the_model_permits(client: Any) -> None:
    """The model is what the promise is proven on (tests/unit/shared/test_rates.py)."""
    random = Random(7)
    limits = [
        limited("site:a", "200/s burst 5"),
        limited("site:a source:x", "20000/h burst 10", "150/s"),
        limited("tenant:t", "100/s burst 30", quota=60, until=await _now_ms(client) + 60_000),
    ]
    due: dict[tuple[str, int], float] = {}
    used = permitted_in_all = 0

    for _ in range(150):
        together = [tuple(random.sample(limits, random.randint(1, 3))) for _ in range(random.randint(1, 4))]
        asked = [_Asked(one, BULK, asyncio.get_running_loop().create_future(), 0, 0) for one in together]
        _, key_names, question = _question(asked)
        now_us, *found = await _PERMIT(client, key_names, [question])
        expected = []
        for request in together:
            after = {
                (limit.name, at): permitted(due.get((limit.name, at), 0.0), now_us, spacing(rate))
                for limit in request
                for at, rate in enumerate(limit.rates)
            }
            counted = limits[2] in request
            expected.append(not any(wait for _, wait in after.values()) and not (counted and used >= 60))
            if expected[-1]:
                due |= {key: next_due for key, (next_due, _) in after.items()}
                used += counted
        permitted_in_all += sum(expected)
        assert [wait_us == 0 for wait_us in found[::2]] == expected
        await asyncio.sleep(random.choice((0, 0, 0.005, 0.02)))

    assert 60 < permitted_in_all < 300


# Connections

TWO = Limit("site:a", "site", connections=2)


@pytest.fixture
def relays(client: Any) -> Sequence[Slots]:
    return [Slots(client, f"r{number}", lease_ms=60_000) for number in range(3)]


async def test_promise_6_connections_are_counted_over_all_relays(relays: Sequence[Slots]) -> None:
    answers = await asyncio.gather(*(relay.connect([TWO]) for relay in relays for _ in range(4)))

    assert sum(isinstance(answer, Slot) for answer in answers) == 2
    assert {answer.limit.name for answer in answers if isinstance(answer, Wait)} == {"site:a"}


async def test_a_connection_takes_a_slot_under_all_its_limits_or_none(relays: Sequence[Slots]) -> None:
    source = Limit("site:a source:x", "source", connections=1)
    await _slot(relays[0], source)

    refused = await relays[1].connect([TWO, source])
    free = await asyncio.gather(*(relays[2].connect([TWO]) for _ in range(2)))

    assert isinstance(refused, Wait)
    assert refused.limit.name == "site:a source:x"
    assert all(isinstance(slot, Slot) for slot in free)


async def test_a_slot_given_back_is_free_at_once(relays: Sequence[Slots]) -> None:
    first = await _slot(relays[0], TWO)
    await _slot(relays[0], TWO)
    assert isinstance(await relays[0].connect([TWO]), Wait)

    await relays[0].disconnect(first)
    await relays[0].disconnect(first)

    assert isinstance(await relays[0].connect([TWO]), Slot)


async def test_connections_without_a_limit_need_no_slot(relays: Sequence[Slots]) -> None:
    slot = await _slot(relays[0], limited("site:a", "1/s"))

    assert not slot.lost
    await relays[0].disconnect(slot)


async def test_the_slots_of_a_dead_relay_end_with_their_lease(client: Any) -> None:
    short, long, alive = (Slots(client, f"r{at}", lease_ms=ms) for at, ms in enumerate((400, 60_000, 60_000)))
    other = Limit("site:b", "site", connections=2)
    begun = await _now_ms(client)
    for _ in range(2):
        await _slot(short, TWO)
        await _slot(long, other)

    await _taken(alive, TWO)

    assert await _now_ms(client) >= begun + 400
    assert isinstance(await alive.connect([other]), Wait)


async def test_a_relay_that_lives_keeps_its_slots_beyond_their_lease(client: Any) -> None:
    living, other = Slots(client, "r0", lease_ms=6000), Slots(client, "r1", lease_ms=6000)
    slots = [await _slot(living, TWO), await _slot(living, TWO)]
    stopping = asyncio.Event()
    running = asyncio.create_task(tend([living], stopping))

    for _ in range(14):
        await asyncio.sleep(0.5)
        assert isinstance(await other.connect([TWO]), Wait)

    assert not any(slot.lost for slot in slots)
    stopping.set()
    await running


async def test_promise_6_a_relay_that_was_stopped_knows_that_its_slots_are_lost_before_it_uses_them(
    client: Any,
) -> None:
    clock = Still()
    stopped, other = Slots(client, "r0", lease_ms=400, monotonic=clock), Slots(client, "r1", lease_ms=60_000)
    slots = [await _slot(stopped, TWO), await _slot(stopped, TWO)]
    assert not any(slot.lost for slot in slots)

    await asyncio.sleep(0.5)
    taken = await other.connect([TWO])
    clock.ahead_s = 0.5  # what its own clock says when it goes on: nothing has been asked yet

    assert isinstance(taken, Slot)
    assert all(slot.lost for slot in slots)
    await stopped.tend()
    assert all(slot.lost for slot in slots)
    assert not taken.lost


async def test_slots_that_redis_has_forgotten_are_lost(client: Any) -> None:
    limits = Slots(client, "r0", lease_ms=60_000)
    slot = await _slot(limits, TWO)
    await client.delete(keys.slots("site:a"))

    await limits.tend()

    assert slot.lost


async def test_a_slot_taken_by_a_call_that_was_given_up_is_given_back(client: Any, relays: Sequence[Slots]) -> None:
    was_taken = asyncio.Event()

    async def hang(*args: Any) -> object:
        await client.evalsha(*args)
        was_taken.set()
        await asyncio.Event().wait()
        return None

    await _slot(relays[0], Limit("site:b", "site", connections=1))  # the script is loaded
    giving_up = Slots(client, "r9", lease_ms=60_000)
    real = giving_up._client
    giving_up._client = type("Hanging", (), {"evalsha": staticmethod(hang)})()
    connecting = asyncio.create_task(giving_up.connect([Limit("site:a", "site", connections=1)]))
    await was_taken.wait()
    connecting.cancel()
    await asyncio.gather(connecting, return_exceptions=True)
    giving_up._client = real

    assert isinstance(await relays[0].connect([Limit("site:a", "site", connections=1)]), Wait)
    await giving_up.tend()
    assert isinstance(await relays[1].connect([Limit("site:a", "site", connections=1)]), Slot)


@pytest.fixture
def wanted_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the test takes, nobody forgets that a connection is wanted."""
    monkeypatch.setattr(slots_module, "WANTED_MS", 60_000)


@pytest.mark.usefixtures("wanted_for_long")
async def test_who_holds_idle_connections_learns_that_another_wants_one(relays: Sequence[Slots]) -> None:
    holder, other, _ = relays
    slots = [await _slot(holder, TWO), await _slot(holder, TWO)]
    elsewhere = await _slot(holder, Limit("site:b", "site", connections=2))
    await holder.tend()
    assert not any(holder.wanted(slot) for slot in slots)

    await other.connect([TWO])
    await holder.tend()

    assert all(holder.wanted(slot) for slot in slots)
    assert all(holder.wanted(slot, busy=True) for slot in slots)
    assert not holder.wanted(elsewhere)

    await holder.disconnect(slots[0])

    assert not holder.wanted(slots[1])  # one is what was asked for
    assert isinstance(await holder.connect([TWO]), Wait)  # it is not taken back
    await asyncio.sleep(0.3)
    assert isinstance(await other.connect([TWO]), Slot)


@pytest.mark.usefixtures("wanted_for_long")
async def test_a_relay_gives_up_an_idle_connection_for_one_that_it_wants_itself(relays: Sequence[Slots]) -> None:
    relay = relays[0]
    slots = [await _slot(relay, TWO), await _slot(relay, TWO)]

    assert isinstance(await relay.connect([TWO]), Wait)  # of another pool
    await relay.tend()

    assert all(relay.wanted(slot) for slot in slots)
    assert not any(relay.wanted(slot, busy=True) for slot in slots)


@pytest.mark.usefixtures("wanted_for_long")
async def test_busy_connections_are_given_up_until_shares_are_equal(relays: Sequence[Slots]) -> None:
    holder, other, _ = relays
    four = Limit("site:a", "site", connections=4)
    slots = [await _slot(holder, four) for _ in range(4)]
    counts = []

    for _ in range(4):
        if isinstance(await other.connect([four]), Slot):
            counts.append("other got one")
        await holder.tend()
        if owed := [slot for slot in slots if holder.wanted(slot, busy=True)]:
            await holder.disconnect(owed[0])
            slots.remove(owed[0])
        await asyncio.sleep(0.3)

    assert len(slots) == 2
    assert len(counts) == 2


# A process of its own, which is stopped and killed

HOLDER = """
import asyncio, sys, time
from services.relay.limits.permits import Limit
from services.relay.limits.slots import Slots
from services.relay.limits.tending import tend
from shared.redis import redis

async def main():
    limits = Slots(redis.connect(sys.argv[1]), "holder", lease_ms=3000)
    slot = await limits.connect([Limit("site:a", "site", connections=1)])
    running = asyncio.create_task(tend([limits], asyncio.Event()))
    print("held", flush=True)
    while not slot.lost:
        await asyncio.sleep(0.01)
    print("lost", flush=True)

asyncio.run(main())
"""


@pytest.fixture
async def holder(redis_url: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLDER, redis_url, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"held\n"
    yield process
    if process.returncode is None:
        process.kill()
    await process.wait()


@pytest.mark.parametrize("signalled", [signal.SIGSTOP, signal.SIGKILL])
async def test_promise_6_connections_of_a_process_that_is_gone_are_free_after_its_lease(
    redis_url: str, holder: asyncio.subprocess.Process, signalled: signal.Signals
) -> None:
    client = redis.connect(redis_url)
    other = Slots(client, "other", lease_ms=60_000)
    assert isinstance(await other.connect([Limit("site:a", "site", connections=1)]), Wait)

    holder.send_signal(signalled)
    slot = await _taken(other, Limit("site:a", "site", connections=1))

    assert not slot.lost
    if signalled == signal.SIGSTOP:
        holder.send_signal(signal.SIGCONT)
        assert holder.stdout is not None
        assert await holder.stdout.readline() == b"lost\n"
    await redis.close(client)
