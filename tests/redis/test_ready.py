"""The ready queues against a real Redis: a message is in exactly one place, whatever dies."""

import asyncio
from collections import Counter
from collections.abc import Sequence

import pytest

from shared import keys, redis
from shared.ready import TURN, Lease, Queued, ReadyQueues, Recorded

JOB = "06h006mus2uer1pplc9g"
P = 3


@pytest.fixture
def queues(client: redis.Client) -> ReadyQueues:
    return ReadyQueues(client)


def _messages(site: str, count: int, lane: int = 1, queue: str = "acme", expires_at: int = 0) -> list[Queued]:
    return [Queued(lane, site, queue, b"%s \x00\n%d" % (site.encode(), number), expires_at) for number in range(count)]


async def _lease(queues: ReadyQueues, relay: str = "r1", limit: int = 100, site_limit: int = 100, ms: int = 5000):
    return await queues.lease(P, relay, ms, limit, site_limit)


async def test_what_is_enqueued_is_leased_in_order_with_its_bytes(queues):
    await queues.enqueue(P, JOB, 0, _messages("a", 3))

    taken = await _lease(queues)

    assert [(lease.site, lease.body) for lease in taken.leases] == [
        ("a", b"a \x00\n0"),
        ("a", b"a \x00\n1"),
        ("a", b"a \x00\n2"),
    ]
    assert taken.held == 3


async def test_a_repeated_chunk_is_enqueued_once(queues):
    await queues.enqueue(P, JOB, 0, _messages("a", 3))
    await queues.enqueue(P, JOB, 0, _messages("a", 3))

    assert len((await _lease(queues)).leases) == 3


async def test_transactional_goes_before_bulk(queues):
    await queues.enqueue(P, JOB, 0, _messages("a", 2, lane=1))
    await queues.enqueue(P, JOB, 2, [Queued(0, "a", "acme", b"urgent")])

    assert [lease.body for lease in (await _lease(queues, limit=1)).leases] == [b"urgent"]


async def test_a_site_at_its_limit_is_left_out_until_one_is_recorded(queues):
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


async def test_a_message_to_retry_comes_back_when_due_and_not_before(queues, client):
    await queues.enqueue(P, JOB, 0, _messages("a", 1))
    (lease,) = (await _lease(queues)).leases
    seconds, _ = await client.time()

    await queues.record(P, "r1", [Recorded(lease.number, retry_at=seconds * 1000 + 1500, body=b"second")])
    early = await _lease(queues)
    await asyncio.sleep(max(0.0, early.due_in_ms / 1000) + 0.05)
    late = await _lease(queues)

    assert early.leases == []
    assert 0 < early.due_in_ms <= 2500
    assert [(again.site, again.body) for again in late.leases] == [("a", b"second")]


async def test_what_a_dead_relay_held_is_leased_by_another(queues):
    await queues.enqueue(P, JOB, 0, _messages("a", 5))
    assert len((await _lease(queues, "dead", limit=3, ms=100)).leases) == 3

    await asyncio.sleep(0.15)
    taken = await _lease(queues, "alive")

    assert sorted(lease.body for lease in taken.leases) == sorted(message.body for message in _messages("a", 5))
    assert await queues.held(P, "dead") == []


async def test_a_relay_that_lost_its_lease_records_nothing(queues):
    await queues.enqueue(P, JOB, 0, _messages("a", 1))
    (lost,) = (await _lease(queues, "slow", ms=50)).leases
    await asyncio.sleep(0.1)
    (taken,) = (await _lease(queues, "alive")).leases

    assert await queues.record(P, "slow", [Recorded(lost.number, retry_at=1, body=b"x")]) == 1
    assert await queues.record(P, "alive", [Recorded(taken.number)]) == 0
    assert (await _lease(queues, "alive")).leases == []


async def test_a_lost_answer_is_found_again(queues):
    await queues.enqueue(P, JOB, 0, _messages("a", 2))
    taken = await _lease(queues)  # as if this answer had been lost

    again = await _lease(queues)
    held = await queues.held(P, "r1")

    assert again.leases == []
    assert again.held == 2
    assert sorted(held, key=lambda lease: lease.number) == taken.leases


async def test_release_puts_back_some_or_all(queues):
    await queues.enqueue(P, JOB, 0, _messages("a", 4))
    taken = await _lease(queues)

    await queues.release(P, "r1", [taken.leases[0].number])
    after_one = await _lease(queues, "r2")
    await queues.release(P, "r1")
    after_all = await _lease(queues, "r2")

    assert len(after_one.leases) == 1
    assert len(after_all.leases) == 3


async def test_a_waiting_relay_is_woken_by_an_enqueue(queues):
    waiting = asyncio.create_task(queues.wait(P, "0", 4000))
    await asyncio.sleep(0.05)

    await queues.enqueue(P, JOB, 0, _messages("a", 1))

    assert await asyncio.wait_for(waiting, 2) != "0"


async def test_nothing_is_left_of_a_site_whose_messages_are_done(queues, client):
    await queues.enqueue(P, JOB, 0, _messages("a", 2, expires_at=2**42))
    taken = await _lease(queues)
    await queues.record(P, "r1", [Recorded(lease.number) for lease in taken.leases])
    await _lease(queues)

    assert await client.exists(keys.ready(P, 1, "a", "acme")) == 0
    assert await client.exists(keys.site(P, "a")) == 0
    assert await client.zcard(keys.sites(P)) == 0
    assert await client.exists(keys.turns(P, 1, "a"), keys.expiries(P), keys.sweeps(P)) == 0


# Turns


def _queues(leases: Sequence[Lease]) -> Counter[str]:
    return Counter(lease.queue for lease in leases)


async def test_ten_messages_do_not_wait_behind_ten_thousand(queues):
    await queues.enqueue(P, JOB, 0, _messages("a", 10_000, queue="big"))
    await queues.enqueue(P, JOB, 1, _messages("a", 10, queue="small"))

    taken = await _lease(queues)

    assert _queues(taken.leases[:20]) == {"big": 10, "small": 10}
    assert _queues(taken.leases) == {"big": 90, "small": 10}


async def test_who_comes_late_is_served_next(queues):
    await queues.enqueue(P, JOB, 0, _messages("a", 1000, queue="big"))
    await _lease(queues, limit=50, site_limit=1000)
    await queues.enqueue(P, JOB, 1, _messages("a", 10, queue="small"))

    taken = await _lease(queues, limit=20, site_limit=1000)

    assert _queues(taken.leases) == {"big": 10, "small": 10}


@pytest.mark.parametrize("limit", [1, 3, 15, 40])
async def test_queues_get_the_same_whatever_is_asked_for_at_once(queues, limit):
    for number, queue in enumerate("xyz"):
        await queues.enqueue(P, JOB, number, _messages("a", 400, queue=queue))

    leases = []
    while len(leases) < 360:
        leases += (await _lease(queues, limit=limit, site_limit=1000)).leases

    assert all(abs(count - len(leases) / 3) <= TURN for count in _queues(leases).values())


async def test_a_site_at_its_limit_serves_queues_in_turn(queues):
    for number, queue in enumerate("xyz"):
        await queues.enqueue(P, JOB, number, _messages("a", 20, queue=queue))
    hand = (await _lease(queues, site_limit=2)).leases

    order = []
    for _ in range(30):
        await queues.record(P, "r1", [Recorded(hand.pop(0).number)])
        hand += (more := (await _lease(queues, site_limit=2)).leases)
        order += more

    assert max(_queues(order).values()) - min(_queues(order).values()) <= 1


async def test_a_lane_goes_before_all_turns_of_the_next(queues):
    await queues.enqueue(P, JOB, 0, _messages("a", 5, queue="waiting", lane=1))
    await queues.enqueue(P, JOB, 1, _messages("a", 30, queue="x", lane=0) + _messages("a", 30, queue="y", lane=0))

    taken = await _lease(queues, limit=62)

    assert [lease.lane for lease in taken.leases] == [0] * 60 + [1] * 2


async def test_a_message_keeps_its_queue_wherever_it_goes(queues, client):
    await queues.enqueue(P, JOB, 0, _messages("a", 3, lane=0, queue="acme/job"))
    seconds, _ = await client.time()

    first, second, third = (await _lease(queues)).leases
    assert {(lease.lane, lease.queue) for lease in await queues.held(P, "r1")} == {(0, "acme/job")}
    await queues.record(P, "r1", [Recorded(first.number, retry_at=seconds * 1000 - 1, body=b"again")])
    await queues.release(P, "r1", [second.number])
    taken = await _lease(queues)

    assert [(lease.lane, lease.queue) for lease in (third, *taken.leases)] == [(0, "acme/job")] * 3
    assert {lease.body for lease in taken.leases} == {b"again", second.body}
