"""Marks of at-most-once attempts in a real Redis and a real cluster: found by whoever takes a message over."""

import asyncio
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from services.relay.checks.admission import ENDED, UNKNOWN, Admission
from services.relay.checks.begun import Begun, byte_of
from shared.redis import bus, keys, redis
from shared.redis.suppression import SuppressionList
from shared.words import events, ids
from tests.servers import free_port

P = 4
NOW_MS = 1_790_000_000_000
JOB, OTHER = (ids.new_job_id(NOW_MS, bytes([seed]) * 6, P, 1) for seed in (1, 2))


@pytest.fixture
def admission(client: redis.Client) -> Admission:
    return Admission(client, P, SuppressionList(client, P))


def ready(ordinal: int, attempt: int = 1, job: str = JOB, at_most_once: bool = True) -> events.Ready:
    return events.Ready(
        tenant="acme", job=job, ordinal=ordinal, email="ana@example.net", attempt=attempt, at_most_once=at_most_once
    )


class Counting:
    """A client that counts script calls, and holds them back while `gate` is closed."""

    def __init__(self, client: redis.Client) -> None:
        self._client: Any = client
        self.calls = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.called = asyncio.Event()

    async def evalsha(self, *args: Any) -> Any:
        self.calls += 1
        self.called.set()
        await self.gate.wait()
        return await self._client.evalsha(*args)

    async def eval(self, *args: Any) -> Any:
        return await self._client.eval(*args)


async def mark(begun: Begun, readies: Sequence[events.Ready]) -> None:
    await asyncio.gather(*map(begun.mark, readies))


async def test_promise_2_an_attempt_that_was_begun_has_an_unknown_end_for_who_takes_it_over(
    client: redis.Client, admission: Admission
) -> None:
    await Begun(client, P).mark(ready(7))

    assert await admission.check([ready(6), ready(7), ready(8)]) == [None, UNKNOWN, None]


async def test_the_attempt_after_one_that_ended_is_made(client: redis.Client, admission: Admission) -> None:
    await Begun(client, P).mark(ready(7, attempt=1))

    assert await admission.check([ready(7, attempt=2)]) == [None]
    await Begun(client, P).mark(ready(7, attempt=2))
    assert await admission.check([ready(7, attempt=2)]) == [UNKNOWN]


async def test_what_this_relay_has_begun_itself_is_not_unknown_to_it(
    client: redis.Client, admission: Admission
) -> None:
    await Begun(client, P).mark(ready(7))

    assert await admission.check([ready(7)], in_hand=True) == [None]


async def test_at_least_once_is_not_asked_about(client: redis.Client, admission: Admission) -> None:
    await Begun(client, P).mark(ready(7))

    assert await admission.check([ready(7, at_most_once=False), ready(7, job=OTHER)]) == [None, None]


async def test_an_end_on_record_is_known(client: redis.Client, admission: Admission) -> None:
    await Begun(client, P).mark(ready(7))
    delivered = events.Delivered(event_id="1", occurred_at=NOW_MS, tenant="acme", job=JOB, ordinal=7)
    await bus.Publisher(client, P, lambda: "batch").publish([delivered])

    assert await admission.check([ready(7)]) == [ENDED]


async def test_marks_that_come_together_travel_together(client: redis.Client) -> None:
    counting: Any = Counting(client)
    begun = Begun(counting, P)
    counting.gate.clear()
    first = asyncio.create_task(begun.mark(ready(0)))
    await counting.called.wait()
    others = [
        asyncio.create_task(begun.mark(ready(ordinal, job=JOB if ordinal % 2 else OTHER))) for ordinal in range(1, 200)
    ]
    await asyncio.sleep(0)

    counting.gate.set()
    await asyncio.gather(first, *others)

    assert counting.calls == 2
    stored: list[Any] = [await client.get(keys.job_begun(1, job)) for job in (JOB, OTHER)]
    assert sum(len(one.replace(b"\0", b"")) for one in stored) == 200


async def test_a_mark_whose_waiter_has_gone_holds_up_nobody(client: redis.Client) -> None:
    counting: Any = Counting(client)
    begun = Begun(counting, P)
    counting.gate.clear()
    gone, stays = (asyncio.create_task(begun.mark(ready(ordinal))) for ordinal in (1, 2))
    await counting.called.wait()

    gone.cancel()
    counting.gate.set()
    await stays
    await begun.mark(ready(3))

    assert await client.get(keys.job_begun(1, JOB)) == b"\0\1\1\1"


async def test_a_mark_that_cannot_be_stored_is_told_and_the_next_is_tried() -> None:
    client = redis.connect(f"redis://127.0.0.1:{free_port()}/0")
    begun = Begun(client, P)
    try:
        for _ in range(2):
            found = await asyncio.gather(*(begun.mark(ready(at)) for at in range(3)), return_exceptions=True)

            assert [type(one) for one in found] == [redis.RedisAway] * 3
    finally:
        await redis.close(client)


def test_no_attempt_is_marked_as_none() -> None:
    marks = [byte_of(attempt) for attempt in range(1, 1000)]

    assert 0 not in marks
    assert max(marks) == 255
    assert all(first != second for first, second in pairwise(marks))


def test_the_mark_of_an_attempt_is_that_of_the_message_taken_over() -> None:
    first = ready(7)

    assert byte_of(msgspec.structs.replace(first, last_reply="451").attempt) == byte_of(first.attempt)
