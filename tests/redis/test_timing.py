"""Messages with a moment of their own, against a real Redis: queued once, kept until then, and never sent outside of
the hours that were asked for, whatever delays them."""

from typing import Any

import msgspec
import pytest

from services.queueing.store import JobStore
from services.relay.message import ends
from services.relay.message.mail import Mail
from shared.redis import keys
from shared.redis.ready import Lease, Queued, ReadyQueues
from shared.redis.recipients import Waiting, pack_waiting
from shared.words import events, ids, timing
from shared.words.timing import Hours, Timing
from tests.jobs import new_job
from tests.redis.test_queueing import NOW_MS, Crash, P, Publisher, _entries, _queueing

HOUR_MS = 3_600_000
#: NOW_MS is a Monday, 13:33 in UTC.
WORK: Hours = ((540, 1140),) * 5 + ((0, 0),) * 2
PARIS, TOKYO = "Europe/Paris", "Asia/Tokyo"
TOKYO_OPENS = timing.open_from(timing.window(WORK, TOKYO), NOW_MS)
JOB = ids.new_job_id(NOW_MS, b"chance", P, 2)


async def store(client: Any, rows: list[Waiting], asked: Timing, expires_at_ms: int = 0) -> JobStore:
    jobs = JobStore(client, P, max_intake_chunks=5)
    new = new_job(total=len(rows), timing=timing.packed(asked), expires_at_ms=expires_at_ms)
    assert (await jobs.store(JOB, new, [(0, pack_waiting(0, rows))], "queueing")).word == "stored"
    return jobs


async def later(client: Any) -> dict[str, tuple[float, events.Ready]]:
    """What waits for its time, by address."""
    found = {}
    for p in range(P):
        for value, due in await client.zrange(keys.retry(p, "email"), 0, -1, withscores=True):
            ready = events.decode("Ready", value.split(b"\n", 3)[3])
            assert isinstance(ready, events.Ready)
            found[ready.email] = (due, ready)
    return found


async def ready(client: Any) -> list[str]:
    found = []
    for p in range(P):
        for lease in (await ReadyQueues(client, "email").lease(p, "r", 60_000, 1000, 1000)).leases:
            message = events.decode("Ready", lease.body)
            assert isinstance(message, events.Ready)
            found.append(message.email)
    return sorted(found)


async def test_each_waits_for_the_hours_of_their_own_clock(client: Any) -> None:
    zoned = msgspec.Raw(msgspec.msgpack.encode({"time_zone": TOKYO}))
    rows = [
        Waiting(email="ana@x.test"),
        Waiting(email="bo@x.test", time_zone=TOKYO),
        Waiting(email="cy@y.test", variables=zoned),
    ]
    jobs = await store(client, rows, Timing(WORK, PARIS))

    await _queueing(client, jobs, Publisher(client)).take(2, await _entries(client, 2))

    waiting = await later(client)
    assert {email: due for email, (due, _) in waiting.items()} == dict.fromkeys(("bo@x.test", "cy@y.test"), TOKYO_OPENS)
    assert waiting["bo@x.test"][1].not_before == TOKYO_OPENS
    assert await client.hget(keys.job(2, JOB), "state") == b"queued"


async def test_what_would_be_over_by_then_comes_when_it_is_over(client: Any) -> None:
    rows = [Waiting(email="bo@x.test", time_zone=TOKYO)]
    jobs = await store(client, rows, Timing(WORK), expires_at_ms=NOW_MS + HOUR_MS)

    await _queueing(client, jobs, Publisher(client)).take(2, await _entries(client, 2))

    assert (await later(client))["bo@x.test"][0] == NOW_MS + HOUR_MS


@pytest.mark.parametrize("crash", ["before", "after"])
async def test_promise_1_what_died_while_it_queued_them_leaves_each_its_moment(client: Any, crash: str) -> None:
    rows = [Waiting(email=f"a{n}@x.test") for n in range(50)]
    jobs = await store(client, rows, Timing((), "UTC", HOUR_MS))
    publisher = Publisher(client)
    publisher.crashes = [crash]

    with pytest.raises(Crash):
        await _queueing(client, jobs, publisher).take(2, await _entries(client, 2))
    await _queueing(client, jobs, publisher).take(2, await _entries(client, 2))
    once = await later(client)
    await ReadyQueues(client, "email").enqueue(0, JOB, 0, [])

    expected = {
        f"a{n}@x.test": timing.due(Timing((), "UTC", HOUR_MS), "", NOW_MS, NOW_MS, timing.place(JOB, n))
        for n in range(50)
    }
    assert {email: due for email, (due, _) in once.items()} == expected


async def test_what_is_due_is_handed_out_and_the_rest_is_not(client: Any) -> None:
    queues = ReadyQueues(client, "email")
    far_ms = 2**42

    def queued(ordinal: int, due_at: int) -> Queued:
        body = events.encode(events.Ready(tenant="acme", job=JOB, ordinal=ordinal, email=f"a{ordinal}@x.test"))
        return Queued(1, "x.test", "acme", body, 0, due_at)

    rows = [queued(0, 0), queued(1, 1), queued(2, far_ms)]
    for _ in range(2):
        await queues.enqueue(0, JOB, 0, rows)

    assert await ready(client) == ["a0@x.test", "a1@x.test"]
    assert list(await later(client)) == ["a2@x.test"]


async def test_promise_8_what_waits_for_its_time_takes_no_more_than_a_recipient_may(client: Any) -> None:
    count = 2_000
    body = msgspec.Raw(msgspec.msgpack.encode({"text": "x" * 190}))
    window = timing.window(WORK, PARIS)
    rows = [
        Queued(
            1,
            "x.test",
            "acme",
            events.encode(
                events.Ready(
                    tenant="acme", job=JOB, ordinal=n, email=f"a{n}@x.test", variables=body, window=window,
                    not_before=2**41, expires_at=2**42,
                )
            ),
            2**42,
            2**41 + n,
        )
        for n in range(count)
    ]  # fmt: skip
    await ReadyQueues(client, "email").enqueue(0, JOB, 0, rows)

    assert await client.memory_usage(keys.retry(0, "email"), samples=0) < 600 * count


def mail(**fields: Any) -> Mail:
    body = events.Ready(tenant="acme", job=JOB, ordinal=0, email="a@x.test", **fields)
    return Mail(Lease(0, 1, "x.test", b""), body)


def test_before_an_attempt_a_relay_looks_at_the_hours_again() -> None:
    window = timing.window(WORK, TOKYO)
    waiting = mail(window=window, attempt=3)
    back = ends.early(waiting, NOW_MS)

    assert back is not None
    assert (back.fact, back.retry_at) == (None, TOKYO_OPENS)
    assert events.decode("Ready", back.again) == waiting.ready
    assert ends.early(waiting, TOKYO_OPENS) is None
    over = ends.early(mail(window=window, expires_at=NOW_MS + 5), NOW_MS)
    assert over is not None
    assert over.retry_at == NOW_MS + 5
    sooner = ends.early(mail(not_before=NOW_MS + 9), NOW_MS)
    assert sooner is not None
    assert sooner.retry_at == NOW_MS + 9
    assert ends.early(mail(), NOW_MS) is None
