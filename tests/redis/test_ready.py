"""The ready queues against a real Redis: a message is in exactly one place, whatever dies."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any, cast

import pytest

from shared.redis import keys, ready
from shared.redis.keys import Channel
from shared.redis.ready import (
    SHARE,
    TURN,
    Avoided,
    Lease,
    Queued,
    ReadyQueues,
    Recorded,
    Taken,
)
from shared.words import events

JOB = "06h006mus2uer1pplc9g"
P = 3


@pytest.fixture
def queues(client: Any) -> ReadyQueues:
    return ReadyQueues(client, "email")


def _messages(site: str, count: int, lane: int = 1, queue: str = "acme", expires_at: int = 0) -> list[Queued]:
    return [Queued(lane, site, queue, b"%s \x00\n%d" % (site.encode(), number), expires_at) for number in range(count)]


async def _lease(
    queues: ReadyQueues, relay: str = "r1", limit: int = 100, site_limit: int = 100, ms: int = 5000
) -> Taken:
    return await queues.lease(P, relay, ms, limit, site_limit)


async def test_what_is_enqueued_is_leased_in_order_with_its_bytes(queues: ReadyQueues) -> None:
    await queues.enqueue(P, JOB, 0, _messages("a", 3))

    taken = await _lease(queues)

    assert [(lease.site, lease.body) for lease in taken.leases] == [
        ("a", b"a \x00\n0"),
        ("a", b"a \x00\n1"),
        ("a", b"a \x00\n2"),
    ]
    assert taken.held == 3


async def test_a_repeated_chunk_is_enqueued_once(queues: ReadyQueues) -> None:
    await queues.enqueue(P, JOB, 0, _messages("a", 3))
    await queues.enqueue(P, JOB, 0, _messages("a", 3))

    assert len((await _lease(queues)).leases) == 3


async def test_transactional_goes_before_bulk(queues: ReadyQueues) -> None:
    await queues.enqueue(P, JOB, 0, _messages("a", 2, lane=1))
    await queues.enqueue(P, JOB, 2, [Queued(0, "a", "acme", b"urgent")])

    assert [lease.body for lease in (await _lease(queues, limit=1)).leases] == [b"urgent"]


async def test_what_people_wait_for_goes_before_bulk_of_all_sites(queues: ReadyQueues) -> None:
    for number in range(300):
        await queues.enqueue(P, JOB, number * 2, _messages(f"site{number}", 2))
    await queues.enqueue(P, JOB, 600, [Queued(0, "site299", "acme", b"reset"), Queued(0, "new", "acme", b"code")])

    taken = await _lease(queues, limit=3)

    assert {lease.body for lease in taken.leases[:2]} == {b"reset", b"code"}
    assert taken.leases[2].site == "site0"


async def test_what_people_wait_for_has_room_where_bulk_has_none(queues: ReadyQueues) -> None:
    await queues.enqueue(P, JOB, 0, _messages("a", 5) + _messages("b", 5, lane=0))

    taken = await queues.lease(P, "r1", 5000, 0, 100, 0, urgent=3, urgent_room=80)

    assert [(lease.lane, lease.site) for lease in taken.leases] == [(0, "b")] * 3


async def test_promise_5_what_people_wait_for_at_a_site_that_is_stuck_leaves_room_for_the_others(
    queues: ReadyQueues,
) -> None:
    await queues.enqueue(P, JOB, 0, _messages("stuck", 90, lane=0))
    leased: list[Lease] = []
    for _ in range(20):
        left = 80 - len(leased)
        leased += (await queues.lease(P, "r1", 5000, 0, 100, 0, urgent=left, urgent_room=left)).leases

    await queues.enqueue(P, JOB, 90, _messages("good", 1, lane=0))
    good = await queues.lease(P, "r1", 5000, 0, 100, 0, urgent=80, urgent_room=80 - len(leased))

    assert len(leased) == 80 // SHARE
    assert [lease.site for lease in good.leases] == ["good"]


async def test_what_people_wait_for_waits_at_a_site_that_has_reached_its_limit_and_goes_next(
    queues: ReadyQueues,
) -> None:
    await queues.enqueue(P, JOB, 0, _messages("a", 9))
    first = await _lease(queues, site_limit=3)
    await queues.enqueue(P, JOB, 9, _messages("a", 1, lane=0))

    nothing = await _lease(queues, site_limit=3)
    await queues.record(P, "r1", [Recorded(first.leases[0].number)])
    then = await _lease(queues, site_limit=3)

    assert nothing.leases == []
    assert [lease.lane for lease in then.leases] == [0]


async def test_a_site_that_has_begun_goes_on_before_others_begin_however_little_is_asked_for(
    queues: ReadyQueues,
) -> None:
    for site in "abc":
        await queues.enqueue(P, JOB, ord(site) * 100, _messages(site, 2 * TURN))

    order = ""
    for _ in range(3 * TURN):
        (lease,) = (await queues.lease(P, "r1", 5000, 1, 100, 5)).leases
        await queues.record(P, "r1", [Recorded(lease.number)])
        order += lease.site

    assert order == "a" * TURN + "b" * TURN + "c" * TURN


async def test_a_site_at_its_limit_is_left_out_until_one_is_recorded(queues: ReadyQueues) -> None:
    await queues.enqueue(P, JOB, 0, _messages("slow", 10) + _messages("fast", 2))

    first = await _lease(queues, site_limit=4)
    second = await _lease(queues, site_limit=4)
    slow = [lease for lease in first.leases if lease.site == "slow"]
    await queues.record(P, "r1", [Recorded(slow[0].number)])
    third = await _lease(queues, site_limit=4)

    assert len(slow) == 4
    assert len(first.leases) == 6
    assert second.leases == []
    assert [lease.site for lease in third.leases] == ["slow"]


async def test_a_message_to_retry_comes_back_when_due_and_not_before(queues: ReadyQueues, client: Any) -> None:
    await queues.enqueue(P, JOB, 0, _messages("a", 2))
    soon, later = (await _lease(queues)).leases
    due = await _now_ms(client) + 300

    retries = (soon, due, b"second"), (later, due + 3_600_000, b"much later")
    await queues.record(P, "r1", [Recorded(lease.number, retry_at=at, body=body) for lease, at, body in retries])
    async with asyncio.timeout(60):
        while not (taken := await _lease(queues)).leases:
            assert 0 < taken.due_in_ms <= 300
            await asyncio.sleep(taken.due_in_ms / 1000)

    assert await _now_ms(client) >= due
    assert [(again.site, again.body) for again in taken.leases] == [("a", b"second")]


async def test_what_a_dead_relay_held_is_leased_by_another(queues: ReadyQueues) -> None:
    await queues.enqueue(P, JOB, 0, _messages("a", 5))
    assert len((await _lease(queues, "dead", limit=3, ms=100)).leases) == 3

    await asyncio.sleep(0.15)
    taken = await _lease(queues, "alive")

    assert sorted(lease.body for lease in taken.leases) == sorted(message.body for message in _messages("a", 5))
    assert await queues.held(P, "dead") == []


async def test_a_relay_that_lost_its_lease_records_nothing(queues: ReadyQueues) -> None:
    await queues.enqueue(P, JOB, 0, _messages("a", 1))
    (lost,) = (await _lease(queues, "slow", ms=50)).leases
    await asyncio.sleep(0.1)
    (taken,) = (await _lease(queues, "alive")).leases

    assert await queues.record(P, "slow", [Recorded(lost.number, retry_at=1, body=b"x")]) == 1
    assert await queues.record(P, "alive", [Recorded(taken.number)]) == 0
    assert (await _lease(queues, "alive")).leases == []


async def test_a_lost_answer_is_found_again(queues: ReadyQueues) -> None:
    await queues.enqueue(P, JOB, 0, _messages("a", 2))
    taken = await _lease(queues)  # as if this answer had been lost

    again = await _lease(queues)
    held = await queues.held(P, "r1")

    assert again.leases == []
    assert again.held == 2
    assert sorted(held, key=lambda lease: lease.number) == taken.leases


async def test_a_master_that_has_not_heard_of_the_latest_leases_gives_none_of_their_numbers_again(
    queues: ReadyQueues, client: Any
) -> None:
    await queues.enqueue(P, JOB, 0, _messages("a", 6))
    before = (await _lease(queues, limit=3)).leases
    await client.delete(keys.lease_number(P, "email"))  # as a replica that becomes master: it has counted less

    after = (await _lease(queues, limit=3)).leases
    await queues.record(P, "r1", [Recorded(lease.number) for lease in before])

    assert len({lease.number for lease in (*before, *after)}) == 6
    assert {lease.number for lease in await queues.held(P, "r1")} == {lease.number for lease in after}


async def test_release_puts_back_some_or_all(queues: ReadyQueues) -> None:
    await queues.enqueue(P, JOB, 0, _messages("a", 4))
    taken = await _lease(queues)

    await queues.release(P, "r1", [taken.leases[0].number])
    after_one = await _lease(queues, "r2")
    await queues.release(P, "r1")
    after_all = await _lease(queues, "r2")

    assert len(after_one.leases) == 1
    assert len(after_all.leases) == 3


async def test_a_waiting_relay_is_woken_by_an_enqueue(queues: ReadyQueues) -> None:
    waiting = asyncio.create_task(queues.wait(P, "0", 4000))
    await asyncio.sleep(0.05)

    await queues.enqueue(P, JOB, 0, _messages("a", 1))

    assert await waiting != "0"


async def test_nothing_is_left_of_a_site_whose_messages_are_done(queues: ReadyQueues, client: Any) -> None:
    await queues.enqueue(P, JOB, 0, _messages("a", 2, expires_at=2**42))
    taken = await _lease(queues)
    await queues.record(P, "r1", [Recorded(lease.number) for lease in taken.leases])
    await _lease(queues)

    assert await client.exists(keys.ready(P, "email", 1, "a", "acme")) == 0
    assert await client.exists(keys.site(P, "email", "a")) == 0
    assert await client.zcard(keys.sites(P, "email")) == 0
    assert await client.exists(keys.turns(P, "email", 1, "a"), keys.expiries(P, "email"), keys.sweeps(P, "email")) == 0


# Turns


def _queues(leases: Sequence[Lease]) -> Counter[str]:
    return Counter(lease.queue for lease in leases)


async def test_ten_messages_do_not_wait_behind_ten_thousand(queues: ReadyQueues) -> None:
    await queues.enqueue(P, JOB, 0, _messages("a", 10_000, queue="big"))
    await queues.enqueue(P, JOB, 1, _messages("a", 10, queue="small"))

    taken = await _lease(queues)

    assert _queues(taken.leases[:20]) == {"big": 10, "small": 10}
    assert _queues(taken.leases) == {"big": 90, "small": 10}


async def test_who_comes_late_is_served_next(queues: ReadyQueues) -> None:
    await queues.enqueue(P, JOB, 0, _messages("a", 1000, queue="big"))
    await _lease(queues, limit=50, site_limit=1000)
    await queues.enqueue(P, JOB, 1, _messages("a", 10, queue="small"))

    taken = await _lease(queues, limit=20, site_limit=1000)

    assert _queues(taken.leases) == {"big": 10, "small": 10}


@pytest.mark.parametrize("limit", [1, 3, 15, 40])
async def test_queues_get_the_same_whatever_is_asked_for_at_once(queues: ReadyQueues, limit: int) -> None:
    for number, queue in enumerate("xyz"):
        await queues.enqueue(P, JOB, number, _messages("a", 200, queue=queue))

    leases: list[Lease] = []
    while len(leases) < 120:
        leases += (await _lease(queues, limit=limit, site_limit=1000)).leases

    assert all(abs(count - len(leases) / 3) <= TURN for count in _queues(leases).values())


async def test_a_site_at_its_limit_serves_queues_in_turn(queues: ReadyQueues) -> None:
    for number, queue in enumerate("xyz"):
        await queues.enqueue(P, JOB, number, _messages("a", 20, queue=queue))
    hand = (await _lease(queues, site_limit=2)).leases

    order = []
    for _ in range(30):
        await queues.record(P, "r1", [Recorded(hand.pop(0).number)])
        hand += (more := (await _lease(queues, site_limit=2)).leases)
        order += more

    assert max(_queues(order).values()) - min(_queues(order).values()) <= 1


async def test_a_lane_goes_before_all_turns_of_the_next(queues: ReadyQueues) -> None:
    await queues.enqueue(P, JOB, 0, _messages("a", 5, queue="waiting", lane=1))
    await queues.enqueue(P, JOB, 1, _messages("a", 30, queue="x", lane=0) + _messages("a", 30, queue="y", lane=0))

    taken = await _lease(queues, limit=62)

    assert [lease.lane for lease in taken.leases] == [0] * 60 + [1] * 2


async def test_what_a_relay_avoids_is_left_to_others_and_hides_nothing_behind_it(queues: ReadyQueues) -> None:
    for number in range(150):
        await queues.enqueue(P, JOB, number, _messages(f"slow{number}", 1))
    await queues.enqueue(P, JOB, 150, _messages("a", 2, queue="slow") + _messages("a", 2, queue="fast"))
    avoided = [*(Avoided(f"slow{number}") for number in range(150)), Avoided("a", 1, "slow")]

    taken = await queues.lease(P, "r1", 5000, 100, 100, avoided=avoided)
    other = await queues.lease(P, "r2", 5000, 1000, 100)

    assert [lease.queue for lease in taken.leases] == ["fast", "fast"]
    assert len(other.leases) == 100
    assert {lease.site for lease in other.leases} <= {f"slow{number}" for number in range(150)} | {"a"}


async def test_a_message_keeps_its_queue_wherever_it_goes(queues: ReadyQueues, client: Any) -> None:
    await queues.enqueue(P, JOB, 0, _messages("a", 3, lane=0, queue="acme/job"))
    seconds, _ = await client.time()

    first, second, third = (await _lease(queues)).leases
    assert {(lease.lane, lease.queue) for lease in await queues.held(P, "r1")} == {(0, "acme/job")}
    await queues.record(P, "r1", [Recorded(first.number, retry_at=seconds * 1000 - 1, body=b"again")])
    await queues.release(P, "r1", [second.number])
    taken = await _lease(queues)

    assert [(lease.lane, lease.queue) for lease in (third, *taken.leases)] == [(0, "acme/job")] * 3
    assert {lease.body for lease in taken.leases} == {b"again", second.body}


# Holds


async def _now_ms(client: Any) -> int:
    seconds, micros = await client.time()
    return int(seconds * 1000 + micros // 1000)


async def _end_hold(client: Any, queue: str | None = None) -> None:
    """As if its time had come: whatever was put off until then is due."""
    until = await client.zscore(keys.holds(P, "email"), "a" if queue is None else f"a\n{queue}")
    assert until is not None
    for key in (
        keys.holds(P, "email"),
        keys.sites(P, "email"),
        keys.turns(P, "email", 0, "a"),
        keys.turns(P, "email", 1, "a"),
    ):
        members: list[Any] = await client.zrangebyscore(key, until, until)
        for member in members:
            await client.zadd(key, {member: 1})


async def _place(queues: ReadyQueues, client: Any, way: str, site: str = "a", queue: str = "acme") -> None:
    """Gets one message of the queue to be ready, by each of the ways there are."""
    if way == "retry":
        await queues.enqueue(P, JOB, 99, _messages(site, 1, queue=queue))
        (lease,) = (await _lease(queues)).leases
        await queues.record(P, "r1", [Recorded(lease.number, retry_at=await _now_ms(client) + 100, body=b"again")])
    elif way == "release":
        await queues.enqueue(P, JOB, 99, _messages(site, 1, queue=queue))
        await _lease(queues)
    elif way == "dead":
        await queues.enqueue(P, JOB, 99, _messages(site, 1, queue=queue))
        await _lease(queues, "dead", ms=1)
    elif way == "parked":
        await queues.enqueue(P, JOB, 99, [Queued(1, site, queue, _ready(0))])
        (lease,) = (await _lease(queues)).leases
        await queues.park(P, "r1", [lease.number])


async def _arrive(queues: ReadyQueues, way: str, site: str = "a", queue: str = "acme") -> None:
    """What was placed comes back now, or with the next lease."""
    if way == "enqueued":
        await queues.enqueue(P, JOB, 98, _messages(site, 1, queue=queue))
    elif way == "release":
        await queues.release(P, "r1")
    elif way == "parked":
        await queues.unpark(P, JOB, 10)
    await asyncio.sleep(0.15)


def _ready(ordinal: int, job: str = JOB) -> bytes:
    return events.encode(events.Ready(tenant="acme", job=job, ordinal=ordinal, email=f"u{ordinal}@a.test"))


@pytest.mark.parametrize("queue", [None, "acme"])
@pytest.mark.parametrize("way", ["waiting", "enqueued", "retry", "release", "dead", "parked"])
async def test_nothing_that_is_held_is_handed_out_however_it_came(
    queues: ReadyQueues, client: Any, way: str, queue: str | None
) -> None:
    await _place(queues, client, way)
    if way == "waiting":
        await queues.enqueue(P, JOB, 0, _messages("a", 1))

    await queues.hold(P, "a", await _now_ms(client) + 3_600_000, queue)
    await _arrive(queues, way)
    held = await _lease(queues)
    await _end_hold(client, queue)
    free = await _lease(queues)

    assert held.leases == []
    assert held.due_in_ms > 1000
    assert len(free.leases) == 1


async def test_a_hold_is_over_at_its_time_and_leaves_nothing(queues: ReadyQueues, client: Any) -> None:
    await queues.enqueue(P, JOB, 0, _messages("a", 1) + _messages("b", 1))
    soon = await _now_ms(client) + 400
    await queues.hold(P, "a", soon)
    await queues.hold(P, "b", soon, "acme")

    taken = await _lease(queues)
    async with asyncio.timeout(60):
        while not taken.leases:
            taken = await _lease(queues)
            assert taken.leases or 0 < taken.due_in_ms <= 400
            await asyncio.sleep(0 if taken.leases else taken.due_in_ms / 1000)

    assert await _now_ms(client) >= soon
    assert sorted(lease.site for lease in taken.leases) == ["a", "b"]
    assert await client.exists(keys.holds(P, "email")) == 0


async def test_a_hold_is_never_shortened(queues: ReadyQueues, client: Any) -> None:
    await queues.enqueue(P, JOB, 0, _messages("a", 1))
    now = await _now_ms(client)

    for until in (now + 3_600_000, now + 10, now - 10):
        await queues.hold(P, "a", until)
        await queues.hold(P, "a", until, "acme")
    await asyncio.sleep(0.05)

    assert (await _lease(queues)).leases == []
    assert await client.zscore(keys.holds(P, "email"), "a") == now + 3_600_000


async def test_a_held_queue_is_passed_over_and_the_others_of_its_site_are_not(queues: ReadyQueues, client: Any) -> None:
    await queues.enqueue(P, JOB, 0, _messages("a", 5, queue="held") + _messages("a", 5, queue="free"))
    until = await _now_ms(client) + 3_600_000

    await queues.hold(P, "a", until, "held")
    first = await _lease(queues)
    await queues.enqueue(P, JOB, 1, _messages("a", 5, queue="free"))
    second = await _lease(queues)

    assert _queues(first.leases) == _queues(second.leases) == {"free": 5}
    assert second.due_in_ms > 1000


@pytest.mark.parametrize(("longer", "shorter"), [(None, "acme"), ("acme", None)])
async def test_a_hold_of_a_site_does_not_end_with_that_of_its_queue_nor_the_other_way_round(
    queues: ReadyQueues, client: Any, longer: str | None, shorter: str | None
) -> None:
    await queues.enqueue(P, JOB, 0, _messages("a", 1))
    now = await _now_ms(client)
    await queues.hold(P, "a", now + 3_600_000, longer)
    await queues.hold(P, "a", now + 1_800_000, shorter)

    await _end_hold(client, shorter)
    after_one = await _lease(queues)
    await _end_hold(client, longer)

    assert after_one.leases == []
    assert after_one.due_in_ms > 1000
    assert len((await _lease(queues)).leases) == 1


async def test_a_hold_does_not_forget_what_is_in_hand(queues: ReadyQueues, client: Any) -> None:
    await queues.enqueue(P, JOB, 0, _messages("a", 10))
    taken = await _lease(queues, site_limit=4)

    await queues.hold(P, "a", await _now_ms(client) + 3_600_000)
    await queues.record(P, "r1", [Recorded(taken.leases[0].number)])
    assert (await _lease(queues, site_limit=4)).leases == []
    await _end_hold(client)

    assert len((await _lease(queues, site_limit=4)).leases) == 1
    assert await client.hget(keys.site(P, "email", "a"), "leased") == b"4"


# Parked


async def test_what_is_parked_waits_for_its_job_and_not_for_its_site(queues: ReadyQueues, client: Any) -> None:
    other = "06h006mus2uer1pplc90"
    rows = [Queued(0, "a", "acme", _ready(0)), Queued(0, "a", "acme", _ready(1, other)), Queued(1, "b", "x", _ready(2))]
    await queues.enqueue(P, JOB, 0, rows)
    taken = await _lease(queues)

    await queues.park(P, "r1", [lease.number for lease in taken.leases])
    parked, idle = await queues.parked_jobs(P), await _lease(queues)
    await queues.release(P, "r1")  # what was parked is its no more
    back = [await queues.unpark(P, JOB, 1), await queues.unpark(P, JOB, 10), await queues.unpark(P, JOB, 10)]
    again = await _lease(queues)

    assert sorted(parked) == sorted([JOB, other])
    assert (idle.leases, idle.held) == ([], 0)
    assert back == [1, 1, 0]
    assert await queues.parked_jobs(P) == [other]
    assert {(lease.lane, lease.site, lease.queue, lease.body) for lease in again.leases} == {
        (0, "a", "acme", _ready(0)),
        (1, "b", "x", _ready(2)),
    }


async def test_parking_makes_room_for_the_next_of_the_site(queues: ReadyQueues, client: Any) -> None:
    await queues.enqueue(P, JOB, 0, [Queued(1, "a", "acme", _ready(number)) for number in range(4)])
    taken = await _lease(queues, site_limit=2)
    assert (await _lease(queues, site_limit=2)).leases == []

    await queues.park(P, "r1", [lease.number for lease in taken.leases])

    assert len((await _lease(queues, site_limit=2)).leases) == 2
    assert await client.hget(keys.site(P, "email", "a"), "leased") == b"2"


async def test_what_the_relay_lost_or_nobody_can_read_is_not_parked(queues: ReadyQueues) -> None:
    await queues.enqueue(P, JOB, 0, [Queued(1, "a", "acme", b"\xc1"), Queued(1, "a", "acme", _ready(1))])
    unreadable, lost = (await _lease(queues)).leases
    await queues.release(P, "r1", [lost.number])

    await queues.park(P, "r1", [unreadable.number, lost.number])
    await queues.park(P, "r1", [])

    assert await queues.parked_jobs(P) == []
    assert [lease.number for lease in await queues.held(P, "r1")] == [unreadable.number]


async def test_a_waiting_relay_is_woken_by_what_is_unparked(queues: ReadyQueues) -> None:
    await queues.enqueue(P, JOB, 0, [Queued(1, "a", "acme", _ready(0))])
    (lease,) = (await _lease(queues)).leases
    await queues.park(P, "r1", [lease.number])
    woken = await queues.wait(P, "0", 10)
    waiting = asyncio.create_task(queues.wait(P, woken, 4000))
    await asyncio.sleep(0.05)

    await queues.unpark(P, JOB, 1)

    assert await waiting != woken


# Over


@pytest.fixture
def swept_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Queues are looked through a few milliseconds after the first of them is over, in small parts."""
    monkeypatch.setattr(ready, "SWEEP_MS", 5)
    monkeypatch.setattr(ready, "SWEEP_PAGE", 7)


async def _expired(queues: ReadyQueues, limit: int = 1000, relay: str = "r1") -> list[Lease]:
    await asyncio.sleep(0.02)
    return await queues.take_expired(P, relay, 5000, limit)


@pytest.mark.usefixtures("swept_at_once")
async def test_what_is_over_is_taken_out_of_a_held_queue(queues: ReadyQueues, client: Any) -> None:
    now = await _now_ms(client)
    over = now + 300
    rows = [Queued(1, "a", "acme", b"%d" % n, over if n % 3 == 0 else now + 3_600_000) for n in range(60)]
    await queues.hold(P, "a", now + 3_600_000)
    await queues.enqueue(P, JOB, 0, rows)

    async with asyncio.timeout(60):
        while not (taken := await _expired(queues)):
            pass
    taken_at = await _now_ms(client)
    again = await _expired(queues)
    await queues.record(P, "r1", [Recorded(lease.number) for lease in taken])
    await _end_hold(client)

    assert (taken_at >= over, again) == (True, [])
    assert sorted(int(lease.body) for lease in taken) == list(range(0, 60, 3))
    assert {(lease.site, lease.lane, lease.queue) for lease in taken} == {("a", 1, "acme")}
    left = [int(lease.body) for lease in (await _lease(queues)).leases]
    assert left == [n for n in range(60) if n % 3]


@pytest.mark.usefixtures("swept_at_once")
async def test_a_queue_is_looked_through_again_for_the_next_that_is_over(queues: ReadyQueues, client: Any) -> None:
    now = await _now_ms(client)
    await queues.enqueue(P, JOB, 0, [Queued(1, "a", "acme", b"%d" % n, now + 100 * (n + 1)) for n in range(3)])
    await queues.enqueue(P, JOB, 1, [Queued(1, "a", "acme", b"never", 0)] * 10)  # more than one part

    found: list[bytes] = []
    async with asyncio.timeout(60):
        while len(found) < 3:
            found += [lease.body for lease in await _expired(queues)]

    assert found == [b"0", b"1", b"2"]
    assert await client.exists(keys.expiries(P, "email"), keys.sweeps(P, "email")) == 0
    assert [lease.body for lease in (await _lease(queues)).leases] == [b"never"] * 10


@pytest.mark.usefixtures("swept_at_once")
async def test_no_more_is_taken_than_was_asked_for_and_the_next_call_goes_on(queues: ReadyQueues, client: Any) -> None:
    await queues.enqueue(P, JOB, 0, _messages("a", 30, expires_at=1) + _messages("b", 30, queue="x", expires_at=1))

    found = [len(await _expired(queues, limit)) for limit in (1, 10, 100)]

    assert found == [1, 10, 49]
    assert (await _lease(queues)).leases == []
    assert (
        await client.exists(
            keys.expiries(P, "email"), keys.sweeps(P, "email"), keys.sites(P, "email"), keys.turns(P, "email", 1, "a")
        )
        == 0
    )


@pytest.mark.usefixtures("swept_at_once")
async def test_what_is_over_is_taken_from_where_it_is_parked(queues: ReadyQueues, client: Any) -> None:
    until = await _now_ms(client) + 100
    rows = [Queued(1, "a", "acme", _ready(n), (until, 0, until + 3_600_000)[n]) for n in range(3)]
    await queues.enqueue(P, JOB, 0, rows)
    taken = await _lease(queues)
    await queues.park(P, "r1", [lease.number for lease in taken.leases])

    async with asyncio.timeout(60):
        while not (over := await _expired(queues)):
            pass
    taken_at = await _now_ms(client)
    await queues.record(P, "r1", [Recorded(lease.number) for lease in over])

    assert taken_at >= until
    assert [lease.body for lease in over] == [_ready(0)]
    assert await queues.unpark(P, JOB, 10) == 2


@pytest.mark.usefixtures("swept_at_once")
async def test_the_last_that_is_over_leaves_nothing_where_it_was_parked(queues: ReadyQueues, client: Any) -> None:
    await queues.enqueue(P, JOB, 0, [Queued(1, "a", "acme", _ready(0), 1)])
    (lease,) = (await _lease(queues)).leases
    await queues.park(P, "r1", [lease.number])

    (over,) = await _expired(queues)
    await queues.record(P, "r1", [Recorded(over.number)])

    assert (
        await client.exists(
            keys.parked_prefix(P, "email") + JOB, keys.parked_jobs(P, "email"), keys.site(P, "email", "a")
        )
        == 0
    )


@pytest.mark.usefixtures("swept_at_once")
async def test_what_is_over_and_was_parked_goes_back_to_whoever_took_it(queues: ReadyQueues) -> None:
    await queues.enqueue(P, JOB, 0, [Queued(1, "a", "acme", _ready(0), 1)])
    await queues.park(P, "r1", [lease.number for lease in await _expired(queues)])
    alone = queues.alone()

    (over,) = await _expired(alone, relay="x1")
    await alone.release(P, "x1", [over.number])

    assert (await _lease(queues)).leases == []
    assert await _expired(queues) == []
    assert [lease.body for lease in await _expired(alone, relay="x2")] == [_ready(0)]


@pytest.mark.usefixtures("swept_at_once")
async def test_what_is_over_is_in_hand_like_any_other_and_goes_back_if_its_relay_dies(queues: ReadyQueues) -> None:
    await queues.enqueue(P, JOB, 0, _messages("a", 3, expires_at=1))
    await asyncio.sleep(0.02)
    assert len(await queues.take_expired(P, "dead", 1, 100)) == 3
    await asyncio.sleep(0.02)

    taken = await _lease(queues, "alive", limit=0)
    over = await _expired(queues, relay="alive")

    assert taken.held == 0
    assert len(over) == 3
    assert sorted(over, key=lambda lease: lease.number) == sorted(
        await queues.held(P, "alive"), key=lambda lease: lease.number
    )


async def test_a_queue_is_looked_through_once_in_half_a_minute(queues: ReadyQueues, client: Any) -> None:
    now = await _now_ms(client)
    await queues.enqueue(P, JOB, 0, [Queued(1, "a", "acme", b"x", now + 1)])

    next_at, then = await client.zscore(keys.expiries(P, "email"), "1a\nacme"), await _now_ms(client)
    await queues.enqueue(P, JOB, 1, [Queued(1, "a", "acme", b"y", now - 60_000)])

    assert next_at is not None
    assert next_at % 30_000 == 0
    assert now < next_at <= then + 30_001
    assert await client.zscore(keys.expiries(P, "email"), "1a\nacme") == next_at


# Taken over


async def _taken_over_by(queues: ReadyQueues, deaths: int) -> list[list[tuple[int, int]]]:
    """After each death of a relay with all it can get in hand: how many messages were taken over how often."""
    told = []
    for number in range(deaths):
        relay = f"dead{number}"
        await _lease(queues, relay)
        told.append(sorted(Counter(one.take_overs for one in await queues.died(P, relay)).items()))
    return told


async def test_what_two_relays_died_with_is_handed_to_nobody_who_has_anything_else(
    queues: ReadyQueues, client: Any
) -> None:
    await queues.enqueue(P, JOB, 0, _messages("a", 3))

    told = await _taken_over_by(queues, 3)
    ordinary = await _lease(queues)
    alone = await _lease(queues.alone(), "x", limit=1)

    assert told == [[(1, 3)], [(2, 3)], []]
    assert ordinary.leases == []
    assert await client.zcard(keys.sites(P, "email")) == 0
    assert [lease.take_overs for lease in alone.leases] == [2]


async def test_a_lease_that_ends_counts_and_one_put_back_does_not(queues: ReadyQueues) -> None:
    await queues.enqueue(P, JOB, 0, _messages("a", 2))
    await _lease(queues, "orderly")
    await queues.release(P, "orderly")
    await _lease(queues, "dead", ms=50)
    await asyncio.sleep(0.1)

    taken = await _lease(queues, "alive")

    assert [lease.take_overs for lease in taken.leases] == [1, 1]
    assert [lease.take_overs for lease in await queues.held(P, "alive")] == [1, 1]
    assert [(one.take_overs, one.site) for one in taken.taken_over] == [(1, "a"), (1, "a")]


async def test_an_attempt_that_came_to_its_end_begins_the_count_anew(queues: ReadyQueues, client: Any) -> None:
    await queues.enqueue(P, JOB, 0, _messages("a", 1))
    await _taken_over_by(queues, 2)
    (lease,) = (await _lease(queues.alone(), "x")).leases

    due = await _now_ms(client) - 1
    await queues.alone().record(P, "x", [Recorded(lease.number, retry_at=due, body=b"again")])
    nothing = await _lease(queues.alone(), "x")
    (again,) = (await _lease(queues)).leases

    assert nothing.leases == []
    assert (again.body, again.take_overs) == (b"again", 0)


async def test_what_is_tried_alone_takes_turns_so_that_nobody_waits_behind_anothers_thousands(
    queues: ReadyQueues,
) -> None:
    await queues.enqueue(P, JOB, 0, [*_messages("a", 50)])
    await queues.enqueue(P, JOB, 50, [Queued(1, "b", "zeta", b"innocent")])
    await _taken_over_by(queues, 2)

    first = [(await _lease(queues.alone(), "x", limit=1)).leases[0].site for _ in range(12)]

    assert "b" in first


async def test_what_was_written_before_there_were_counts_is_read(queues: ReadyQueues, client: Any) -> None:
    await queues.enqueue(P, JOB, 0, _messages("a", 1))
    (lease,) = (await _lease(queues, "old")).leases
    value: Any = await client.hget(keys.leased(P, "email", "old"), lease.number)

    assert value.split(b"\n")[2].isdigit()
    (one,) = await queues.died(P, "old")
    assert one.take_overs == 1


async def test_it_is_known_whether_anything_waits_to_be_tried_alone(queues: ReadyQueues) -> None:
    alone = queues.alone()
    await queues.enqueue(P, JOB, 0, _messages("a", 1))
    before = await alone.waits(P, 0)
    await _taken_over_by(queues, 2)
    ready = await alone.waits(P, 0)
    await _lease(alone, "x")
    in_hand = await alone.waits(P, 0)
    dead = await alone.waits(P, 2**45)
    await alone.release(P, "x")

    assert (before, ready, in_hand, dead, await alone.waits(P, 0)) == (False, True, False, True, True)


async def test_who_asks_for_what_leaves_by_one_channel_is_handed_nothing_of_another(client: Any) -> None:
    mails, others = ReadyQueues(client, "email"), ReadyQueues(client, cast(Channel, "other"))
    await others.enqueue(P, JOB, 0, _messages("a.test", 1))

    of_mails, of_others = await _lease(mails), await _lease(others)

    assert (len(of_mails.leases), len(of_others.leases)) == (0, 1)
