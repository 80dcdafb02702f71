"""Reports in a real Redis and a real cluster: counted exactly under any repeats, and shown over HTTP."""

import asyncio
import itertools
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from aiohttp import test_utils
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.reports import http, state
from services.reports.feed.feed import BUDGET_S, Feed, Wanted
from services.reports.feed.live import Live
from services.reports.finishing import Finishing
from services.reports.job_list import JobList
from services.reports.job_report import report
from services.reports.reports import Reports, trim_forever
from services.reports.store import MOST_ALIKE, ReportReader, ReportStore
from services.reports.tally import change
from shared.http import api
from shared.redis import bus, keys, redis, trimming
from shared.redis.cancels import CancelList, Cancels
from shared.redis.recipients import (
    Recipients,
    Waiting,
    pack_slim,
    pack_waiting,
)
from shared.redis.stops import (
    COMPLAINT_RATE,
    PAUSED,
    Stop,
    StopList,
)
from shared.redis.tenants import Tenants
from shared.words import content, events, ids
from shared.words.content import TrackedLink
from tests.feeds import catch_up, message_list
from tests.jobs import job_hash
from tests.tasks import gone

PARTITIONS = 3
CREATED = 1_700_000_000_000
P = 1
JOB, OTHER = (ids.new_job_id(CREATED, bytes([seed]) * 6, PARTITIONS, P) for seed in (1, 2))
LINKS = [
    TrackedLink(0, "https://a.example/"),
    TrackedLink(1, "https://b.example/"),
    TrackedLink(2, "https://a.example/"),
]
CONTENT = content.encode(
    content.CompiledContent(
        stream="bulk",
        from_value="a@b.example",
        from_domain="b.example",
        subject=content.Subject(("hello",)),
        body_fields=[],
        body=[],
        links=LINKS,
    )
)


async def make_job(client: Any, job: str = JOB, tenant: str = "acme", total: int = 100, **fields: Any) -> None:
    p = ids.job_partition(job, PARTITIONS)
    known = {"tenant": tenant, "state": "queued", "total": total, "stream": "bulk", "content": CONTENT}
    mapping = job_hash(**(known | fields))
    await client.hset(keys.job(p, job), mapping=mapping)
    for first, pack in ((0, pack_slim), (50, pack_waiting)):
        people = [
            Waiting(email=f"R{ordinal}@Example.org", metadata={"crm_id": str(ordinal)})
            for ordinal in range(first, first + 50)
        ]
        await client.zadd(keys.job_recipients(p, job), {pack(first, people): first})


def about(ordinal: int | None, event: object, job: str = JOB, **more: Any) -> dict[str, Any]:
    """What all facts share. `event` tells facts of one message apart."""
    return {
        "event_id": events.event_id(job, ordinal, event),
        "occurred_at": CREATED + 1000,
        "tenant": "acme",
        "job": job,
        "ordinal": ordinal,
        **more,
    }


async def publish(client: Any, *facts: events.Fact) -> None:
    """As any publisher does, but without the check for a second end: reports must do with whatever is there."""
    for fact in facts:
        p = bus.fact_partition(fact, PARTITIONS)
        await client.xadd(keys.events(p), {"t": type(fact).__name__, "v": 1, "b": events.encode(fact)})


async def make_group(client: Any, partition: int = P) -> None:
    stream = keys.events(partition)
    await client.xgroup_create(stream, keys.GROUP_REPORTS, id="0", mkstream=True)
    await client.hset(keys.readers(stream), f"silent:{keys.GROUP_REPORTS}", 0)


async def read(client: Any, position: str = ">", count: int | None = None, partition: int = P) -> list[bus.Entry]:
    found = await client.xreadgroup(keys.GROUP_REPORTS, "one", {keys.events(partition): position}, count=count)
    return [bus.entry(number, fields) for _, entries in found or () for number, fields in entries]


async def count(client: Any, *facts: events.Fact) -> None:
    """Publishes and counts."""
    await publish(client, *facts)
    while entries := await read(client, count=100):
        await Reports(ReportStore(client), lambda: 0).count(P, entries)


async def counts(client: Any, job: str = JOB) -> Any:
    reader = ReportReader(client, PARTITIONS)
    found = await reader.job(job)
    assert found is not None
    return report(found, await reader.counts(job), LINKS, {"https://a.example/": await reader.clicked_any(job, [0, 2])})


async def test_the_life_of_some_messages_is_counted(client: Any) -> None:
    await make_job(client, total=4)
    await make_group(client)

    await count(
        client,
        *(events.Accepted(**about(ordinal, "accepted")) for ordinal in range(3)),
        events.Rejected(**about(3, "rejected"), reason="invalid_address"),
        events.Deferred(**about(0, "deferred 1")),
        events.Delivered(**about(0, "delivered"), attempt=2),
        events.Delivered(**about(1, "delivered")),
        events.Bounced(**about(2, "bounced"), kind="block"),
        events.Bounced(**about(1, "late"), kind="hard", late=True),
        events.Opened(**about(0, "open 1")),
        events.Opened(**about(0, "open 2")),
        events.Opened(**about(0, "open 3"), machine="proxy"),
        events.Clicked(**about(0, "click 1"), position=0),
        events.Clicked(**about(0, "click 2"), position=2),
        events.Clicked(**about(1, "click 1"), position=2),
        events.Unsubscribed(**about(0, "unsubscribed")),
        events.Complained(**about(0, "complained")),
    )

    found = await counts(client)
    assert found.state == "done"
    assert (found.counts.accepted, found.counts.rejected, found.counts.delivered, found.counts.pending) == (3, 1, 1, 0)
    assert (found.counts.bounced.total, found.counts.bounced.block, found.counts.bounced.late) == (2, 1, 1)
    assert (found.counts.deferred.current, found.counts.deferred.total) == (0, 1)
    assert (found.counts.opens.unique, found.counts.opens.total, found.counts.opens.machine.total) == (2, 3, 1)
    assert (found.counts.clicks.unique, found.counts.clicks.total) == (2, 3)
    assert [(link.positions, link.unique, link.total) for link in found.links] == [([0, 2], 2, 3), ([1], 0, 0)]
    assert [place.unique for place in found.positions] == [1, 0, 2]
    assert (found.counts.unsubscriptions, found.counts.complaints) == (1, 1)


async def finished(client: Any) -> list[events.Finished]:
    """What the stream has of jobs that have ended."""
    found = [bus.entry(number, fields).message() for number, fields in await client.xrange(keys.events(P))]
    return [fact for fact in found if isinstance(fact, events.Finished)]


async def test_a_job_whose_messages_all_have_their_ends_is_told_of_once(client: Any) -> None:
    await make_job(client, total=6)
    await make_group(client)
    finishing = [Finishing(client, PARTITIONS, lambda: CREATED + 60_000) for _ in range(2)]

    await count(
        client,
        *(events.Accepted(**about(ordinal, "accepted")) for ordinal in range(4)),
        events.Delivered(**about(0, "delivered")),
        events.Bounced(**about(1, "bounced"), kind="hard"),
        events.Deferred(**about(2, "deferred")),
        events.Suppressed(**about(4, "suppressed"), reason="complaint"),
        events.Rejected(**about(5, "rejected"), reason="invalid_address"),
        events.Cancelled(**about(3, "cancelled")),
    )
    assert [await one.look() for one in finishing] == [0, 0]
    assert await client.zcard(keys.finishing(P)) == 0
    await count(client, events.Expired(**about(2, "expired")))
    await asyncio.gather(*(one.look() for one in finishing for _ in range(3)))
    await count(client, events.Bounced(**about(0, "late"), kind="hard", late=True), events.Opened(**about(0, "open")))
    await asyncio.gather(*(one.look() for one in finishing))

    [fact] = await finished(client)
    assert (fact.tenant, fact.job, fact.ordinal, fact.sequence) == ("acme", JOB, None, 60_000)
    assert fact.total == 6
    ends = (fact.delivered, fact.bounced, fact.expired, fact.failed, fact.suppressed, fact.rejected, fact.cancelled)
    assert ends == (1, 1, 1, 0, 1, 1, 1)


async def test_a_job_ends_when_its_last_recipient_is_decided_whatever_was_counted_before(client: Any) -> None:
    await make_job(client, total=1, state="queueing")
    await make_group(client)
    finishing = Finishing(client, PARTITIONS, lambda: CREATED + 1)
    await count(client, events.Suppressed(**about(0, "suppressed"), reason="complaint"))

    assert await finishing.look() == 0
    await client.hset(keys.job(P, JOB), "state", "queued")
    await client.zincrby(keys.finishing(P), 1, JOB)  # as queueing's script does
    assert await finishing.look() == 1

    await client.delete(keys.job(P, JOB))
    await client.zincrby(keys.finishing(P), 1, JOB)
    assert await finishing.look() == 0  # nothing is told of a job that is not kept
    assert await client.zcard(keys.finishing(P)) == 0


# Exactness

FACTS: list[Any] = [
    events.Accepted, events.Rejected, events.Suppressed, events.Delivered, events.Deferred, events.Expired,
    events.Opened, events.Clicked, events.Unsubscribed, events.Complained, events.AutoReplied, events.Bounced,
    events.Failed, events.DocumentOpened,
]  # fmt: skip


@st.composite
def some_facts(draw: st.DrawFn) -> list[events.Fact]:
    """Facts of a few messages of two jobs; the same fact may come several times, as a publisher's repeat does."""
    facts: list[events.Fact] = []
    for _ in range(draw(st.integers(0, 40))):
        if facts and draw(st.integers(0, 3)) == 0:
            facts.append(draw(st.sampled_from(facts)))
            continue
        fact = draw(st.sampled_from(FACTS))
        more: dict[str, Any] = {}
        if fact is events.Bounced:
            more = {"kind": draw(st.sampled_from(["hard", "soft", "block"])), "late": draw(st.booleans())}
        elif fact in (events.Opened, events.Clicked, events.DocumentOpened):
            more = {"machine": draw(st.sampled_from(["", "", "proxy"]))}
            if fact is events.Clicked:
                more["position"] = draw(st.integers(0, 2))
            if fact is events.DocumentOpened:
                more["position"] = draw(st.sampled_from([None, 3, 4]))
        ordinal = draw(st.sampled_from([0, 1, 31, 32, 99]))
        job = draw(st.sampled_from([JOB, JOB, OTHER]))
        facts.append(fact(**about(ordinal, len(facts), job), **more))
    return facts


class Model:
    """What reports promise, plainly: each event once, in the order in which it was first counted."""

    def __init__(self) -> None:
        self.known: set[str] = set()
        self.bytes: dict[tuple[str, int], int] = defaultdict(int)
        self.totals: Counter[tuple[str, str]] = Counter()
        self.uniques: dict[tuple[str, str], set[int]] = defaultdict(set)
        #: Who followed a link of the mail, to a document maybe.
        self.followed: dict[str, set[int]] = defaultdict(set)

    def count(self, fact: events.Fact) -> None:
        found = change(fact, "1-0")
        assert found is not None
        if fact.event_id in self.known:
            return
        self.known.add(fact.event_id)
        message = found.job, found.ordinal
        self.bytes[message] = state.after(self.bytes[message], found.code)
        if found.code in (state.Code.CLICKED, state.Code.DOCUMENT_OPENED):
            self.followed[found.job].add(found.ordinal)
        for counter in found.counters:
            self.totals[found.job, counter] += 1
            self.uniques[found.job, counter].add(found.ordinal)

    def counters(self, job: str) -> dict[str, int]:
        """As the hash has them, those that are not 0."""
        bytes_of_job = Counter(byte for (owner, _), byte in self.bytes.items() if owner == job and byte)
        return {
            **{f"state:{byte}": number for byte, number in bytes_of_job.items()},
            **{f"{counter}:total": number for (owner, counter), number in self.totals.items() if owner == job},
            **{f"{of}:unique": len(found) for (owner, of), found in self.uniques.items() if owner == job and found},
            **({"implied_opens:unique": implied} if (implied := self.implied(job)) else {}),
        }

    def implied(self, job: str) -> int:
        return len(self.followed[job] - self.uniques[job, "opens"])


async def counters_stored(client: Any, job: str) -> dict[str, int]:
    found = await ReportReader(client, PARTITIONS).counts(job)
    return {name: int(number) for name, number in found.items() if int(number)}


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(facts=some_facts(), chances=st.lists(st.integers(0, 9), max_size=60))
async def test_counts_are_what_a_plain_model_says_under_any_batching_and_redelivery(
    redis_url: str, facts: list[events.Fact], chances: list[int]
) -> None:
    """A batch may be lost on the way (and is read again), be applied and its answer lost (and is applied again)."""
    client: Any = redis.connect(redis_url)
    await client.flushall()
    store, model, chance = ReportStore(client), Model(), itertools.chain(chances, itertools.repeat(9))
    await make_group(client)
    for job in (JOB, OTHER):
        await make_job(client, job)
    await publish(client, *facts)
    applied: set[str] = set()
    while True:
        entries = await read(client, "0" if next(chance) < 4 else ">", 1 + next(chance))
        if not entries and not (entries := await read(client, ">")) and not (entries := await read(client, "0")):
            break
        if next(chance) < 3:
            continue
        changes = [(entry.stream_id, change(entry.message(), entry.stream_id)) for entry in entries]  # type: ignore[arg-type]
        for _ in range(1 + (next(chance) < 3)):
            await store.apply(P, changes)
        for entry in entries:
            if entry.stream_id not in applied:
                applied.add(entry.stream_id)
                model.count(entry.message())  # type: ignore[arg-type]
    found = {job: await counters_stored(client, job) for job in (JOB, OTHER)}
    messages = {
        (job, ordinal): await ReportReader(client, PARTITIONS).message(job, ordinal)
        for job in (JOB, OTHER)
        for ordinal in (0, 1, 31, 32, 99)
    }
    await redis.close(client)

    assert found == {job: model.counters(job) for job in (JOB, OTHER)}
    assert {message: byte for message, (byte, _) in messages.items()} == {key: model.bytes[key] for key in messages}
    assert sum(len(records) for _, records in messages.values()) == len(model.known)


async def test_more_facts_of_a_kind_than_a_timeline_has_room_for_are_counted_exactly_too(client: Any) -> None:
    await make_job(client)
    await make_group(client)
    opens = [events.Opened(**about(0, number)) for number in range(MOST_ALIKE + 30)]

    await count(client, *opens, events.Opened(**about(1, "neighbour")))
    await count(client, *reversed(opens))

    found = await counts(client)
    assert (found.counts.opens.total, found.counts.opens.unique) == (MOST_ALIKE + 31, 2)
    _, records = await ReportReader(client, PARTITIONS).message(JOB, 0)
    assert len(records) == MOST_ALIKE
    remembered = keys.reported(P, (CREATED + 1000) // 86_400_000)
    assert await client.scard(remembered) == 30
    assert 0 < await client.pttl(remembered) <= 2 * 86_400_000


async def test_a_fact_about_a_job_that_is_not_kept_any_more_leaves_nothing_behind(client: Any) -> None:
    await make_group(client)
    await make_job(client, OTHER)

    await count(client, events.Opened(**about(0, "open")), events.Opened(**about(0, "open", OTHER)))

    assert await counters_stored(client, JOB) == {}
    assert await counters_stored(client, OTHER) == {f"{name}": 1 for name in ("opens:total", "opens:unique")}
    assert not await client.exists(keys.job_timeline(P, JOB, 0))
    assert (await client.xpending(keys.events(P), keys.GROUP_REPORTS))["pending"] == 0


async def test_facts_that_cannot_be_understood_are_hopeless_and_the_others_count(client: Any) -> None:
    """But what a newer program wrote waits for a newer reader."""
    await make_group(client)
    await make_job(client)
    await client.xadd(keys.events(P), {"t": "Teleported", "v": 1, "b": b"\x90"})
    await client.xadd(keys.events(P), {"t": "Opened", "v": 2, "b": events.encode(events.Opened(**about(0, "new")))})
    await client.xadd(keys.events(P), {"t": "Opened", "v": 1, "b": b"\x90"})
    await publish(client, events.Opened(**about(2**31, "far")), events.Opened(**about(0, "open")))
    reports = Reports(ReportStore(client), lambda: 0)
    consumer = bus.Consumer(client, PARTITIONS, keys.events, keys.GROUP_REPORTS, "one", reports.count)
    stopping = asyncio.Event()
    await consumer.create_groups()
    running = asyncio.create_task(consumer.run(stopping))

    async with asyncio.timeout(60):
        while await client.xlen(keys.dead(keys.events(P))) < 2:  # noqa: ASYNC110 - Redis's state
            await asyncio.sleep(0.01)
    stopping.set()
    await running

    assert (await counts(client)).counts.opens.total == 1
    assert (await client.xpending(keys.events(P), keys.GROUP_REPORTS))["pending"] == 2


async def test_counts_are_exact_when_the_process_dies_again_and_again(client: Any) -> None:
    """The task is cancelled wherever it stands: before the script, in it, or while its answer travels."""
    await make_job(client)
    await make_group(client)
    facts = [events.Opened(**about(number % 100, number)) for number in range(600)]
    lives = 0

    async def live() -> None:
        nonlocal lives
        lives += 1
        reports = Reports(ReportStore(client), lambda: 0)
        consumer = bus.Consumer(client, PARTITIONS, keys.events, keys.GROUP_REPORTS, "one", reports.count, batch=20)
        await consumer.create_groups()
        running = asyncio.create_task(consumer.run(asyncio.Event()))
        await asyncio.sleep(0.003 * (1 + lives % 4))
        await gone(running)

    for start in range(0, 600, 60):
        await publish(client, *facts[start : start + 60])
        await live()
    while (await counters_stored(client, JOB)).get("opens:total", 0) < 600:
        await live()
    await live()

    assert await counters_stored(client, JOB) == {"opens:total": 600, "opens:unique": 100}
    assert lives > 10


async def test_promise_8_a_message_costs_less_than_100_bytes_once_its_job_is_done(redis_url: str) -> None:
    client: Any = redis.connect(redis_url)
    number = 3200
    await client.hset(keys.job(P, JOB), mapping=job_hash(tenant="acme", total=number))
    await make_group(client)
    for first in range(0, number, 1000):
        people = [
            Waiting(
                email=f"anne-marie.dupont{ordinal * 7919}@domain{ordinal % 40}.example", metadata={"id": str(ordinal)}
            )
            for ordinal in range(first, min(first + 1000, number))
        ]
        await client.zadd(keys.job_recipients(P, JOB), {pack_slim(first, people): first})
    await count(client, *(events.Accepted(**about(ordinal, "accepted")) for ordinal in range(number)))
    await count(client, *(events.Delivered(**about(ordinal * 3 % number, "delivered")) for ordinal in range(number)))
    await count(client, *(events.Opened(**about(ordinal * 5, "open")) for ordinal in range(number // 5)))
    await count(client, *(events.Clicked(**about(ordinal * 40, "click")) for ordinal in range(number // 40)))

    size = sum([await client.memory_usage(name) for name in await client.keys(f"*{JOB}*")])
    await redis.close(client)

    assert size / number < 100


# What is shown


@pytest.fixture
async def site(client: Any) -> AsyncIterator[Any]:
    """Calls as `acme`, or as another by its name."""
    tenants = Tenants(client)
    made: dict[str, str] = {}
    for tenant in ("acme", "other"):
        await tenants.create(tenant)
        made[tenant] = (await tenants.create_key(tenant, ["read"]))[1]
    made["sender"] = (await tenants.create_key("acme", ["send"]))[1]
    recipients = Recipients(client, PARTITIONS)
    feed = Feed(client, PARTITIONS, recipients, time.monotonic)
    reader = ReportReader(client, PARTITIONS)
    jobs = JobList(reader, StopList(client), Cancels(CancelList(client)))
    routes = http.routes(
        reader,
        feed,
        Live(feed, 9, 9, time.monotonic),
        recipients,
        jobs,
        message_list(client, PARTITIONS, CREATED),
        PARTITIONS,
    )
    app = api.application(routes, tenants, max_body_bytes=10_000)
    async with test_utils.TestClient(test_utils.TestServer(app)) as web:

        async def call(path: str, by: str = "acme", **query: Any) -> tuple[int, Any]:
            await catch_up(client, PARTITIONS)
            headers = {"Authorization": f"Bearer {made[by]}"}
            async with web.get(path, params=query, headers=headers) as answer:
                return answer.status, await answer.json(content_type=None)

        yield call


async def test_a_stopped_job_says_what_stops_it(client: Any, site: Any) -> None:
    await make_job(client, rate="50000/h")
    await make_job(client, OTHER, stream="transactional")
    tenants_stop = Stop(COMPLAINT_RATE, "acme", CREATED, "engine", bad=20, of=30_000)
    await StopList(client).add("tenant:acme", tenants_stop)

    _, bulk = await site(f"/v1/jobs/{JOB}")
    _, other = await site(f"/v1/jobs/{OTHER}")

    assert (bulk["state"], bulk["stopped"]["name"], bulk["stopped"]["bad"]) == ("stopped", "tenant:acme", 20)
    assert (bulk["rate"], bulk["at_most_once"]) == ("50000/h", False)
    assert (other["state"], other["stopped"]) == ("queued", None)

    await StopList(client).add(f"job:{JOB}", Stop(PAUSED, "acme", CREATED, "tenant"))
    _, bulk = await site(f"/v1/jobs/{JOB}")
    assert (bulk["state"], bulk["stopped"]["name"]) == ("paused", f"job:{JOB}")


async def test_a_job_is_shown_to_its_tenant_alone(client: Any, site: Any) -> None:
    await make_job(client, subject="Bonjour", tags=("a", "b"))
    await make_group(client)
    await count(client, events.Accepted(**about(0, "accepted")), events.Clicked(**about(0, "click"), position=2))

    status, shown = await site(f"/v1/jobs/{JOB}")

    assert status == 200
    assert (shown["id"], shown["state"], shown["subject"], shown["tags"]) == (JOB, "queued", "Bonjour", ["a", "b"])
    assert (shown["counts"]["accepted"], shown["counts"]["pending"], shown["counts"]["clicks"]["unique"]) == (1, 1, 1)
    assert [(link["url"], link["unique"]) for link in shown["links"]] == [
        ("https://a.example/", 1),
        ("https://b.example/", 0),
    ]
    unknown = await site(f"/v1/jobs/{OTHER}")
    assert unknown[0] == 404
    assert await site(f"/v1/jobs/{JOB}", by="other") == unknown
    assert await site("/v1/jobs/nonsense") == unknown
    assert (await site(f"/v1/jobs/{JOB}", by="sender"))[0] == 403


async def test_a_message_is_shown_with_its_timeline(client: Any, site: Any) -> None:
    await make_job(client)
    await make_group(client)
    await count(
        client,
        events.Delivered(**about(7, "delivered", occurred_at=CREATED + 5000), attempt=2, reply="250 ok"),
        events.Accepted(**about(7, "accepted", occurred_at=CREATED + 1)),
        events.Deferred(**about(7, "deferred", occurred_at=CREATED + 2000), attempt=1, reply="451 later"),
        events.Opened(**about(8, "open")),
    )

    status, shown = await site(f"/v1/messages/{JOB}.7")

    assert status == 200
    assert (shown["id"], shown["job"], shown["state"]) == (f"{JOB}.7", JOB, "delivered")
    assert (shown["email"], shown["metadata"]) == ("R7@Example.org", {"crm_id": "7"})
    assert [(event["type"], event["details"].get("attempt")) for event in shown["timeline"]] == [
        ("message.accepted", None),
        ("message.deferred", 1),
        ("message.delivered", 2),
    ]
    assert shown["timeline"][2]["time"] == "2023-11-14T22:13:25.000Z"
    assert shown["timeline"][2]["details"]["reply"] == "250 ok"
    assert shown["timeline"][2]["event_id"] == events.event_id(JOB, 7, "delivered")
    assert (await site(f"/v1/messages/{JOB}.50"))[1]["state"] == "waiting"


async def test_a_message_of_nobody_or_of_another_tenant_is_unknown(client: Any, site: Any) -> None:
    await make_job(client)

    unknown = await site(f"/v1/messages/{OTHER}.0")
    assert unknown[0] == 404
    assert await site(f"/v1/messages/{JOB}.0", by="other") == unknown
    for wrong in (f"{JOB}.100", f"{JOB}.01", f"{JOB}.x", JOB, f"{JOB}.4294967296", "é"):
        assert await site(f"/v1/messages/{wrong}") == unknown


async def test_when_the_details_are_trimmed_fact_and_time_remain(client: Any, site: Any) -> None:
    await make_job(client)
    await make_group(client)
    await client.xgroup_create(keys.events(P), keys.GROUP_SUPPRESSION, id="$")
    bounced = events.Bounced(**about(7, "bounced", occurred_at=CREATED + 5), kind="hard", reply="550 no")
    await count(client, bounced, *(events.Opened(**about(number % 100, number)) for number in range(250)))
    stopping = asyncio.Event()

    async def trim(partition: int, before_ms: int) -> int:
        if partition == P:
            stopping.set()
        return await trimming.trim(client, partition, before_ms, 7 * 86_400_000)

    before = (await site(f"/v1/messages/{JOB}.7"))[1]
    await trim_forever(trim, PARTITIONS, 7, lambda: 4_000_000_000_000, stopping)
    after = (await site(f"/v1/messages/{JOB}.7"))[1]

    assert before["timeline"][0]["details"]["reply"] == "550 no"
    assert after["timeline"][0] == {
        "event_id": None,
        "type": "message.bounced",
        "time": "2023-11-14T22:13:20.005Z",
        "details": {"kind": "hard", "late": False},
    }
    assert after["state"] == "bounced"


# Events


async def many_events(client: Any) -> list[str]:
    """The ids of acme's events, in all partitions, between those of another tenant."""
    jobs = [ids.new_job_id(CREATED, bytes([seed]) * 6, PARTITIONS, seed % PARTITIONS) for seed in range(5)]
    wanted = []
    for job in jobs:
        await make_job(client, job)
    for number in range(300):
        job = jobs[number * number % 5]
        tenant = "other" if number % 3 == 0 else "acme"
        fact = events.Opened(**about(number % 100, number, job, tenant=tenant, occurred_at=CREATED + number))
        await publish(client, fact)
        if tenant == "acme":
            wanted.append(fact.event_id)
    return wanted


@pytest.mark.parametrize("limit", [1, 13, 1000])
async def test_pages_show_each_event_of_the_tenant_once_in_the_order_of_time(
    client: Any, site: Any, limit: int
) -> None:
    wanted = await many_events(client)
    seen: list[str] = []
    jobs: dict[str, list[str]] = defaultdict(list)
    after, more = "", True

    while more:
        _, page = await site("/v1/events", limit=limit, after=after)
        assert len(page["events"]) <= limit
        assert page["events"] == sorted(page["events"], key=lambda event: event["time"])
        seen += [event["event_id"] for event in page["events"]]
        for event in page["events"]:
            jobs[event["job"]].append(event["time"])
        after, more = page["next"], page["more"]

    assert sorted(seen) == sorted(wanted)
    assert all(times == sorted(times) for times in jobs.values())
    assert (await site("/v1/events", after=after))[1] == {"events": [], "next": after, "more": False}


async def test_who_follows_the_cursor_sees_what_comes(client: Any, site: Any) -> None:
    await make_job(client)
    seen, after = [], ""
    for number in range(5):
        await publish(client, events.Opened(**about(number, number)))
        _, page = await site("/v1/events", after=after)
        seen += [event["message"] for event in page["events"]]
        after = page["next"]

    assert seen == [f"{JOB}.{number}" for number in range(5)]


async def test_events_are_chosen_by_type_job_and_recipient(client: Any, site: Any) -> None:
    await make_job(client)
    await make_job(client, OTHER)
    await publish(
        client,
        events.Opened(**about(3, "open")),
        events.Clicked(**about(3, "click"), url="https://a.example/"),
        events.Delivered(**about(4, "delivered", email="R4@Example.org")),
        events.Opened(**about(3, "open", OTHER)),
        events.Suppressed(**about(5, "suppressed", email="R5@Example.org")),
        events.Suppressed(event_id="s", occurred_at=CREATED, tenant="acme", email="r3@example.org", reason="manual"),
    )

    async def chosen(**query: Any) -> list[tuple[str, str | None]]:
        status, page = await site("/v1/events", **query)
        assert status == 200
        return sorted((event["type"], event["message"]) for event in page["events"])

    assert await chosen(type="message.opened") == [("message.opened", f"{JOB}.3"), ("message.opened", f"{OTHER}.3")]
    assert await chosen(type="message.clicked,message.opened", job=JOB) == [
        ("message.clicked", f"{JOB}.3"),
        ("message.opened", f"{JOB}.3"),
    ]
    assert await chosen(recipient="r3@EXAMPLE.org", job=JOB, type="message.opened") == [("message.opened", f"{JOB}.3")]
    assert len(await chosen(recipient="R3@example.org")) == 4
    assert await chosen(recipient="r4@example.org") == [("message.delivered", f"{JOB}.4")]
    assert await chosen(type="address.suppressed") == [("address.suppressed", None)]
    assert await chosen(type="message.suppressed") == [("message.suppressed", f"{JOB}.5")]
    assert await chosen(job=JOB, by="other") == []


async def test_an_event_names_the_recipient_also_where_the_fact_does_not(client: Any, site: Any) -> None:
    await make_job(client)
    await publish(client, events.Clicked(**about(60, "click"), position=1, url="https://b.example/", ip="192.0.2.1"))

    _, page = await site("/v1/events")

    (event,) = page["events"]
    assert (event["email"], event["message"], event["job"]) == ("R60@Example.org", f"{JOB}.60", JOB)
    assert (event["details"]["position"], event["details"]["url"]) == (1, "https://b.example/")


async def test_what_this_version_cannot_read_is_passed_over(client: Any, site: Any) -> None:
    stream = keys.events(P)
    await client.xadd(stream, {"t": "Teleported", "v": 1, "b": b"\x90"})
    await client.xadd(stream, {"t": "Opened", "v": 2, "b": events.encode(events.Opened(**about(0, "new")))})
    await client.xadd(stream, {"t": "Opened", "v": 1, "b": b"\x93\xa1x\x01\xa4acme"})
    await client.xadd(stream, {"t": "Opened", "v": 1, "b": b"garbage"})
    await publish(client, events.Opened(**about(0, "open")))

    _, page = await site("/v1/events")

    assert [event["event_id"] for event in page["events"]][-1] == events.event_id(JOB, 0, "open")
    assert not page["more"]


class Clock:
    """Seconds; each look at it takes so many."""

    def __init__(self, step_s: float) -> None:
        self.now_s, self.step_s = 0.0, step_s

    def __call__(self) -> float:
        self.now_s += self.step_s
        return self.now_s


@pytest.fixture
def small_rounds(monkeypatch: Any) -> None:
    for name, number in {"MOST_TOGETHER": 7, "MOST_CHUNKS": 2}.items():
        monkeypatch.setattr(f"services.reports.feed.feed.{name}", number)
    monkeypatch.setattr("services.reports.feed.chunks.FULL_BYTES", 20)


@pytest.mark.parametrize(
    "wanted",
    [
        Wanted("nobody"),
        Wanted("acme", types=frozenset({"message.bounced"})),
        Wanted("acme", email="nobody@example.org"),
        Wanted("acme", job=OTHER),
    ],
)
async def test_a_filter_that_nothing_fits_has_its_end_on_one_page(
    client: Any, small_rounds: None, wanted: Wanted
) -> None:
    await many_events(client)
    await catch_up(client, PARTITIONS)
    log = Feed(client, PARTITIONS, Recipients(client, PARTITIONS), Clock(0))

    page = await log.page(wanted, None, 100)

    assert (page.events, page.more) == ([], False)


@pytest.mark.parametrize("limit", [1, 2, 100])
async def test_a_page_is_full_or_the_last_however_rare_what_is_wanted(
    client: Any, small_rounds: None, limit: int
) -> None:
    await many_events(client)
    for number in range(3):
        await publish(client, events.Opened(**about(number, f"rare {number}", tenant="rare")))
        await many_events(client)
    await catch_up(client, PARTITIONS)
    log = Feed(client, PARTITIONS, Recipients(client, PARTITIONS), Clock(0))
    positions, sizes, more = None, [], True

    while more:
        page = await log.page(Wanted("rare"), positions, limit)
        positions, more = page.positions, page.more
        sizes.append(len(page.events))

    assert sizes == {1: [1, 1, 1], 2: [2, 1], 100: [3]}[limit]


async def test_a_search_that_takes_too_long_gets_ahead_by_bounded_steps(client: Any, small_rounds: None) -> None:
    await many_events(client)
    await catch_up(client, PARTITIONS)
    log = Feed(client, PARTITIONS, Recipients(client, PARTITIONS), Clock(BUDGET_S))
    positions, pages = [(0, 0)] * PARTITIONS, 0

    more = True
    while more:
        page = await log.page(Wanted("acme", email="nobody@example.org"), positions, 15)
        assert page.events == []
        assert page.positions > positions or not page.more
        positions, more, pages = page.positions, page.more, pages + 1

    assert 3 <= pages <= 60


@pytest.mark.parametrize(
    ("query", "at"),
    [
        ({"after": "x"}, ["?after"]),
        ({"limit": "0"}, ["?limit"]),
        ({"limit": "1001"}, ["?limit"]),
        ({"type": "message.teleported"}, ["?type"]),
        ({"job": "x"}, ["?job"]),
        ({"recipient": "x"}, ["?recipient"]),
        ({"limit": "x", "job": "y", "after": "é"}, ["?job", "?after", "?limit"]),
    ],
)
async def test_all_that_is_wrong_with_a_query_is_said(site: Any, query: dict[str, str], at: Sequence[str]) -> None:
    status, problem = await site("/v1/events", **query)

    assert status == 422
    assert [fault["at"] for fault in problem["faults"]] == at


def test_the_routes_describe_themselves() -> None:
    unused: Any = None
    document = api.openapi(http.routes(unused, unused, unused, unused, unused, unused, 1))

    assert set(document["paths"]) == {
        "/v1/jobs",
        "/v1/jobs/{job}",
        "/v1/jobs/{job}/content",
        "/v1/messages",
        "/v1/messages/{message}",
        "/v1/events",
        "/v1/events/live",
    }
    assert "JobReport" in document["components"]["schemas"]
