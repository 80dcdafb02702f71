"""The ready queues against a real Redis: a message is in exactly one place, whatever dies."""

import asyncio

import pytest

from shared import keys, redis
from shared.ready import ReadyQueues, Recorded

JOB = "06h006mus2uer1pplc9g"
P = 3


@pytest.fixture
def queues(client: redis.Client) -> ReadyQueues:
    return ReadyQueues(client)


def _messages(site: str, count: int, lane: int = 1) -> list[tuple[int, str, bytes]]:
    return [(lane, site, b"%s \x00\n%d" % (site.encode(), number)) for number in range(count)]


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
    await queues.enqueue(P, JOB, 2, [(0, "a", b"urgent")])

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

    assert sorted(lease.body for lease in taken.leases) == sorted(body for _, _, body in _messages("a", 5))
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
    await queues.enqueue(P, JOB, 0, _messages("a", 2))
    taken = await _lease(queues)
    await queues.record(P, "r1", [Recorded(lease.number) for lease in taken.leases])
    await _lease(queues)

    assert await client.exists(keys.ready(P, 1, "a")) == 0
    assert await client.exists(keys.site(P, "a")) == 0
    assert await client.zcard(keys.sites(P)) == 0
