"""What waits is seen where it waits, by lane and provider, and how long it has."""

from typing import Any

import pytest

from shared.redis import backlog, keys, waiting
from shared.redis.backlog import Place
from shared.redis.ready import Queued, ReadyQueues, Recorded
from shared.redis.waiting import Waiting
from shared.words import events, ids

P = 3
NOW = 1_700_000_000_000
OLD = ids.new_job_id(NOW, b"\x00" * 6, 8)
NEW = ids.new_job_id(NOW + 60_000, b"\x00" * 6, 8)


def message(site: str, job: str = NEW, lane: int = 1, ordinal: int = 0, queue: str = "acme") -> Queued:
    body = events.encode(events.Ready(tenant="acme", job=job, ordinal=ordinal, email="ana@example.org"))
    return Queued(lane, site, queue, body, 4_000_000_000_000)


@pytest.fixture
def queues(client: Any) -> ReadyQueues:
    return ReadyQueues(client, "email")


async def defer(queues: ReadyQueues, *some: Queued) -> None:
    await queues.enqueue(P, some[0].site, 0, some)
    leases = (await queues.lease(P, "r1", 5000, len(some), len(some), 1_000_000)).leases
    await queues.record(P, "r1", [Recorded(one.number, 4_000_000_000_000, one.body) for one in leases])


async def test_what_is_due_is_counted_by_lane_and_provider(client: Any, queues: ReadyQueues) -> None:
    await queues.enqueue(P, NEW, 0, [message("gmail", ordinal=ordinal) for ordinal in range(3)])
    await queues.enqueue(P, NEW, 3, [message("gmail", lane=0, queue="b"), message("mx.example.net"), message("[::1]")])

    found = await backlog.messages(client, P, "email")

    assert {place: waits.messages for place, waits in found.items()} == {
        Place("ready", 1, "gmail"): 3,
        Place("ready", 0, "gmail"): 1,
        Place("ready", 1, "other"): 2,
    }
    assert all(waits.since_ms > NOW for waits in found.values())


async def test_more_queues_than_one_call_reads_are_all_counted(client: Any, queues: ReadyQueues) -> None:
    many = waiting.PAGE + 7
    await queues.enqueue(P, NEW, 0, [message(f"mx{number}.example.net") for number in range(many)])

    assert (await backlog.messages(client, P, "email"))[Place("ready", 1, "other")].messages == many


async def test_what_is_in_hand_waits_no_more(client: Any, queues: ReadyQueues) -> None:
    await queues.enqueue(P, NEW, 0, [message("gmail")])
    await queues.lease(P, "r1", 5000, 10, 10)

    assert await backlog.messages(client, P, "email") == {}


async def test_what_was_deferred_waits_since_its_job_was_made(client: Any, queues: ReadyQueues) -> None:
    await defer(queues, message("gmail", NEW), message("gmail", OLD), message("orange", NEW))

    found = await backlog.messages(client, P, "email")

    gmail, orange = found[Place("later", 1, "gmail")], found[Place("later", 1, "orange")]
    assert (gmail.messages, gmail.since_ms) == (2, ids.job_created_ms(OLD))
    assert (orange.messages, orange.since_ms) == (1, ids.job_created_ms(NEW))


async def test_of_very_many_a_sample_stands_for_all(client: Any, queues: ReadyQueues) -> None:
    many = 4 * backlog.SAMPLE
    await defer(queues, *(message(("gmail", "orange")[ordinal % 2], ordinal=ordinal) for ordinal in range(many)))

    found = await backlog.messages(client, P, "email")

    counts = [found[Place("later", 1, provider)].messages for provider in ("gmail", "orange")]
    assert sum(counts) == pytest.approx(many, abs=1)
    assert min(counts) > many / 4


async def test_parked_mail_is_told_apart(client: Any, queues: ReadyQueues) -> None:
    await queues.enqueue(P, NEW, 0, [message("gmail"), message("gmail", ordinal=1)])
    leases = (await queues.lease(P, "r1", 5000, 10, 10)).leases
    await queues.park(P, "r1", [one.number for one in leases])

    assert {place: waits.messages for place, waits in (await backlog.messages(client, P, "email")).items()} == {
        Place("parked", 1, "gmail"): 2
    }


async def test_holds_are_told_with_their_end(client: Any, queues: ReadyQueues) -> None:
    await queues.hold(P, "gmail", 4_000_000_000_000)
    await queues.hold(P, "mx.example.net", 4_000_000_000_001, "acme")

    assert await Waiting(client, "email").holds(P, NOW) == {
        ("gmail", ""): 4_000_000_000_000,
        ("mx.example.net", "acme"): 4_000_000_000_001,
    }


async def test_a_group_tells_what_it_has_not_read_and_not_acknowledged(client: Any) -> None:
    stream = keys.events(P)
    await client.xgroup_create(stream, "counts", id="0", mkstream=True)
    await client.xgroup_create(stream, "idle", id="0", mkstream=True)
    first = await client.xadd(stream, {"t": "Opened", "v": 1, "b": b""})
    for _ in range(4):
        await client.xadd(stream, {"t": "Opened", "v": 1, "b": b""})
    await client.xreadgroup("counts", "one", {stream: ">"}, count=3, block=None)
    await client.xadd(keys.dead(stream), {"t": "Opened"})

    found = await backlog.stream(client, stream)

    assert (found.length, found.dead) == (5, 1)
    by_name = {group.group: group for group in found.groups}
    assert (by_name["counts"].unread, by_name["counts"].pending) == (2, 3)
    assert (by_name["idle"].unread, by_name["idle"].pending) == (5, 0)
    assert by_name["counts"].since_ms == by_name["idle"].since_ms == int(first.split(b"-")[0])


async def test_a_group_that_is_done_lags_by_nothing_and_no_stream_has_no_group(client: Any) -> None:
    stream = keys.events(P)
    await client.xgroup_create(stream, "counts", id="0", mkstream=True)
    entry = await client.xadd(stream, {"t": "Opened", "v": 1, "b": b""})
    await client.xreadgroup("counts", "one", {stream: ">"}, count=3, block=None)
    await client.xack(stream, "counts", entry)

    (group,) = (await backlog.stream(client, stream)).groups

    assert (group.unread, group.pending, group.since_ms) == (0, 0, 0)
    assert (await backlog.stream(client, keys.events(P + 1))).groups == ()


async def test_jobs_whose_chunks_wait_are_counted_once(client: Any) -> None:
    for first, lane in ((0, 0), (500, 0), (0, 1)):
        intake = events.Intake(tenant="acme", job=OLD if lane else NEW, first_ordinal=first)
        fields = {"t": "Intake", "v": events.MAJOR_VERSION, "b": events.encode(intake)}
        await client.xadd(keys.intake(P, lane), fields)

    assert await backlog.jobs_in_queueing(client, P, (0, 1)) == {OLD, NEW}


async def test_a_message_that_no_relay_could_read_is_a_dead_one(client: Any, queues: ReadyQueues) -> None:
    await queues.enqueue(P, NEW, 0, [message("gmail")])
    (lease,) = (await queues.lease(P, "r1", 5000, 10, 10)).leases
    await queues.bury(lease, "r1", "unreadable")

    assert await backlog.dead_messages(client, P, "email") == 1
