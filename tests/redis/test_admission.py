"""Whether a message may still be attempted, asked of a real Redis and a real cluster."""

import asyncio
import itertools
from collections.abc import Sequence

import pytest

from services.relay.checks.admission import ASKED_TOGETHER, ENDED, Admission
from services.suppression.store import Addition, Lists
from shared.redis import (
    bus,
    redis,
)
from shared.redis.suppression import Asked, SuppressionList
from shared.words import events, ids
from shared.words.scopes import Reason
from tests.servers import free_port

P = 4
NOW_MS = 1_790_000_000_000


@pytest.fixture
def admission(client: redis.Client) -> Admission:
    return Admission(client, P, SuppressionList(client, P))


def job(partition: int, number: int = 1) -> str:
    return ids.new_job_id(NOW_MS, (number << 16).to_bytes(6, "big"), P, partition)


def ready(of: str, ordinal: int, email: str = "ana@example.net", tenant: str = "acme") -> events.Ready:
    return events.Ready(tenant=tenant, job=of, ordinal=ordinal, email=email)


async def suppress(client: redis.Client, email: str, reason: Reason, tenant: str = "acme") -> None:
    await Lists(client, P).add([Addition(tenant, email, reason, NOW_MS)])


async def publish(client: redis.Client, *facts: events.Fact) -> None:
    names = itertools.count()
    await bus.Publisher(client, P, lambda: str(next(names))).publish(facts)


def delivered(of: str, ordinal: int) -> events.Delivered:
    return events.Delivered(event_id="1", occurred_at=NOW_MS, tenant="acme", job=of, ordinal=ordinal)


async def test_of_whom_nothing_is_known_may_be_written_to(admission: Admission) -> None:
    assert await admission.check([ready(job(0), 0), ready(job(1), 9)]) == [None, None]


async def test_nobody_to_ask_about_is_no_question(admission: Admission) -> None:
    assert await admission.check([]) == []


async def test_promise_2_a_message_whose_end_is_on_record_has_ended(client: redis.Client, admission: Admission) -> None:
    await publish(client, delivered(job(1), 7))

    assert await admission.check([ready(job(1), ordinal) for ordinal in (6, 7, 8)]) == [None, ENDED, None]
    assert await admission.check([ready(job(1, 2), 7), ready(job(2), 7)]) == [None, None]


async def test_a_deferral_is_no_end(client: redis.Client, admission: Admission) -> None:
    of = job(1)
    await publish(client, events.Deferred(event_id="1", occurred_at=NOW_MS, tenant="acme", job=of, ordinal=7))

    assert await admission.check([ready(of, 7)]) == [None]


async def test_promise_4_who_left_is_found_by_the_address_however_it_is_spelt(
    client: redis.Client, admission: Admission
) -> None:
    await suppress(client, "ana@example.net", "unsubscribed")

    answers = await admission.check([ready(job(0), 0, "ana@example.net"), ready(job(3), 1, "Ana@Example.NET")])

    assert answers == ["unsubscribed", "unsubscribed"]


async def test_who_left_one_tenant_has_not_left_another(client: redis.Client, admission: Admission) -> None:
    await suppress(client, "ana@example.net", "unsubscribed", tenant="other")

    assert await admission.check([ready(job(0), 0), ready(job(0), 0, tenant="other")]) == [None, "unsubscribed"]


async def test_answers_come_in_the_order_of_the_questions(client: redis.Client, admission: Admission) -> None:
    await publish(client, *(delivered(job(ordinal % P), ordinal) for ordinal in range(0, 40, 5)))
    for ordinal in range(0, 40, 3):
        await suppress(client, f"u{ordinal}@example.net", "complaint" if ordinal % 2 else "manual")
    readies = [ready(job(ordinal % P), ordinal, f"u{ordinal}@example.net") for ordinal in reversed(range(40))]

    answers = await admission.check(readies)

    # Whose end is on record has ended, whatever else is known of them: there is no second end to record.
    assert answers == [
        ENDED if ordinal % 5 == 0 else None if ordinal % 3 else "complaint" if ordinal % 2 else "manual"
        for ordinal in reversed(range(40))
    ]


class Slow:
    """A suppression list that answers when it is let go, and remembers how many it was asked about at a time."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.go = asyncio.Event()

    async def check(self, asked: Sequence[Asked]) -> list[str | None]:
        self.asked.append(len(asked))
        await self.go.wait()
        return ["manual" if email == "left@example.net" else None for _, email, *_ in asked]


async def test_questions_that_come_while_one_is_asked_are_asked_together(client: redis.Client) -> None:
    slow = Slow()
    admission = Admission(client, P, slow)
    await publish(client, delivered(job(2), 7))

    first = asyncio.create_task(admission.check([ready(job(1), 0)]))
    async with asyncio.timeout(30):
        while not slow.asked:  # noqa: ASYNC110 - Redis is asked before it
            await asyncio.sleep(0.001)
    others = [
        asyncio.create_task(admission.check([ready(job(2), n), ready(job(3), n, "left@example.net")]))
        for n in range(20)
    ]
    given_up = others.pop(3)
    await asyncio.sleep(0.01)
    given_up.cancel()
    slow.go.set()

    assert await first == [None]
    for n, other in zip((n for n in range(20) if n != 3), others, strict=True):
        assert await other == [ENDED if n == 7 else None, "manual"]
    assert slow.asked == [1, 40]


async def test_a_question_is_not_made_longer_than_a_bound(client: redis.Client) -> None:
    slow = Slow()
    admission = Admission(client, P, slow)
    slow.go.set()

    lengths = (1, ASKED_TOGETHER + 5, ASKED_TOGETHER - 1, 1, 1)
    answers = await asyncio.gather(*(admission.check([ready(job(1), n) for n in range(length)]) for length in lengths))

    assert [len(answer) for answer in answers] == list(lengths)
    assert slow.asked == [1, ASKED_TOGETHER + 5, ASKED_TOGETHER, 1]


async def test_promise_4_without_an_answer_nothing_is_attempted() -> None:
    client = redis.connect(f"redis://127.0.0.1:{free_port()}/0")
    try:
        with pytest.raises(redis.RedisAway):
            await Admission(client, P, SuppressionList(client, P)).check([ready(job(0), 0), ready(job(1), 0)])
    finally:
        await redis.close(client)
