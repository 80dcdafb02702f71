"""The feed in a real Redis and a real cluster: written once, in order, bounded; and found by what is asked for."""

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import test_utils
from prometheus_client import REGISTRY

from services.reports.feed import http
from services.reports.feed.entries import entries_at
from services.reports.feed.feed import Feed, Wanted
from services.reports.feed.indexing import BATCH, Indexing, Kept
from services.reports.feed.live import Live
from shared.http import api
from shared.redis import bus, keys, trimming
from shared.redis.recipients import Recipients, Waiting, pack_slim
from shared.redis.tenants import Tenants
from shared.words import events, ids
from tests.feeds import SECRETS, catch_up
from tests.jobs import job_hash

P = 3
CREATED = 1_700_000_000_000
WEEK_MS = 7 * 86_400_000
JOBS = [ids.new_job_id(CREATED, bytes([seed]) * 6, P, seed % P) for seed in range(6)]


async def make_job(client: Any, job: str, tenant: str = "acme", **fields: Any) -> None:
    p = ids.job_partition(job, P)
    await client.hset(keys.job(p, job), mapping=job_hash(tenant=tenant, state="queued", **fields))
    people = [Waiting(email=f"R{ordinal}@Example.org") for ordinal in range(50)]
    await client.zadd(keys.job_recipients(p, job), {pack_slim(0, people): 0})


def opened(job: str, number: int, tenant: str = "acme") -> events.Opened:
    return events.Opened(
        event_id=events.event_id(job, number),
        occurred_at=CREATED + number,
        tenant=tenant,
        job=job,
        ordinal=number % 50,
    )


async def publish(client: Any, *facts: events.Fact, ms: int | None = None) -> None:
    for number, fact in enumerate(facts):
        p = bus.fact_partition(fact, P)
        at: Any = {} if ms is None else {"id": f"{ms}-{number}"}
        await client.xadd(keys.events(p), {"t": type(fact).__name__, "v": 1, "b": events.encode(fact)}, **at)


def indexing(client: Any, now_ms: int = CREATED, most_kinds: int = 100) -> Indexing:
    return Indexing(client, P, Kept(WEEK_MS, WEEK_MS, most_kinds), SECRETS, lambda: now_ms)


def feed(client: Any) -> Feed:
    return Feed(client, P, Recipients(client, P), lambda: 0.0)


async def whole(client: Any, wanted: Wanted, **how: Any) -> list[str]:
    page = await feed(client).page(wanted, None, 1_000, **how)
    assert not page.more
    return [event.event_id for event in page.events]


def ids_of(*facts: events.Fact) -> list[str]:
    return [fact.event_id for fact in facts]


async def test_several_processes_that_index_the_same_write_each_event_once(client: Any) -> None:
    facts = [opened(JOBS[number % 6], number) for number in range(300)]
    await publish(client, *facts)

    await asyncio.gather(*(catch_up(client, P, indexing(client)) for _ in range(4)))

    assert sorted(await whole(client, Wanted("acme"))) == sorted(ids_of(*facts))


async def test_a_partition_that_cannot_be_written_is_more_and_more_behind(client: Any) -> None:
    job = next(one for one in JOBS if ids.job_partition(one, P) == 0)
    await publish(client, opened(job, 1), ms=CREATED)
    await client.set(keys.tenant_feed(0, "acme"), "no list")

    behind: list[float | None] = []
    for later_ms in (5_000, 200_000):
        with pytest.raises(Exception, match="WRONGTYPE"):
            await indexing(client, CREATED + later_ms).step(0)
        behind.append(REGISTRY.get_sample_value("estafette_reports_feed_lag_seconds", {"p": "0"}))
    await client.delete(keys.tenant_feed(0, "acme"))
    await catch_up(client, P, indexing(client))

    assert behind == [5.0, 200.0]
    assert REGISTRY.get_sample_value("estafette_reports_feed_lag_seconds", {"p": "0"}) == 0


async def test_who_dies_between_reading_and_writing_has_written_nothing_or_all(client: Any) -> None:
    """A call that never came, one whose answer was lost, and one of a process that had read long ago."""
    facts = [opened(JOBS[0], number) for number in range(20)]
    await publish(client, *facts[:10])
    late = indexing(client)
    read = client.xread

    async def slow(*args: Any, **options: Any) -> Any:
        found = await read(*args, **options)
        await catch_up(client, P, indexing(client))  # another one was first
        return found

    late._client = type(
        "Slow", (), {"__getattr__": lambda _, name: slow if name == "xread" else getattr(client, name)}
    )()
    await late.step(0)
    await publish(client, *facts[10:])
    await catch_up(client, P, indexing(client))
    await catch_up(client, P, indexing(client))

    assert await whole(client, Wanted("acme")) == ids_of(*facts)


async def test_more_than_a_batch_is_read_in_the_order_of_the_stream(client: Any) -> None:
    facts = [opened(JOBS[0], number) for number in range(BATCH + 100)]
    await publish(client, *facts)
    await catch_up(client, P, indexing(client))

    assert await whole(client, Wanted("acme")) == ids_of(*facts)
    assert await whole(client, Wanted("acme"), is_newest=True) == ids_of(*facts)[::-1]


async def test_of_a_page_the_facts_that_are_shown_are_read_and_one_more(client: Any, monkeypatch: Any) -> None:
    """Of one partition of three: the others are at their end."""
    await publish(client, *(opened(JOBS[0], number) for number in range(900)))
    await catch_up(client, P, indexing(client))
    read: list[str] = []

    async def counted(client: Any, partition: int, stream_ids: Any) -> Any:
        read.extend(stream_ids)
        return await entries_at(client, partition, stream_ids)

    monkeypatch.setattr("services.reports.feed.feed.entries_at", counted)

    page = await feed(client).page(Wanted("acme"), None, 300)

    assert (len(page.events), page.more, len(read)) == (300, True, 301)


async def test_another_tenants_events_are_never_seen(client: Any) -> None:
    await make_job(client, JOBS[0])
    await make_job(client, JOBS[1], "other")
    ours = [opened(JOBS[0], number) for number in range(5)]
    theirs = [opened(JOBS[1], number, "other") for number in range(5)]
    await publish(client, *(one for two in zip(ours, theirs, strict=True) for one in two))
    await catch_up(client, P, indexing(client))

    assert await whole(client, Wanted("acme")) == ids_of(*ours)
    assert await whole(client, Wanted("other")) == ids_of(*theirs)
    assert await whole(client, Wanted("acme", job=JOBS[1])) == []
    assert await whole(client, Wanted("nobody")) == []


@pytest.mark.parametrize("most_kinds", [100, 1])
async def test_events_are_found_by_what_their_jobs_are(client: Any, most_kinds: int) -> None:
    """Also where more kinds of jobs are about than are told apart."""
    made: list[dict[str, Any]] = [
        {"stream": "bulk", "list": "news", "tags": ("a", "b")},
        {"stream": "transactional", "list": "", "tags": ("b",)},
        {"stream": "bulk", "list": "news", "tags": ()},
        {"stream": "one_to_one", "list": "offers", "tags": ("a",)},
    ]
    for job, fields in zip(JOBS, made, strict=False):
        await make_job(client, job, **fields)
    facts = [opened(job, number) for number in range(3) for job in JOBS[:4]]
    about = events.Suppressed(event_id="s", occurred_at=CREATED, tenant="acme", email="a@b.example", reason="manual")
    await publish(client, *facts, about)
    await catch_up(client, P, indexing(client, most_kinds=most_kinds))

    async def jobs_of(**by: Any) -> list[int]:
        page = await feed(client).page(Wanted("acme", **by), None, 1_000)
        found = [JOBS.index(event.job or "") for event in page.events]
        assert len(found) == 3 * len(set(found))
        return sorted(set(found))

    assert await jobs_of(tag="a") == [0, 3]
    assert await jobs_of(tag="b") == [0, 1]
    assert await jobs_of(list="news") == [0, 2]
    assert await jobs_of(streams=frozenset({"transactional", "one_to_one"})) == [1, 3]
    assert await jobs_of(tag="a", list="offers", job=JOBS[3]) == [3]
    assert await jobs_of(tag="c") == []


async def test_any_search_shows_what_a_plain_model_says(client: Any) -> None:
    chance = random.Random(7)
    tags = {job: chance.sample(["a", "b", "c"], 2) for job in JOBS}
    for job in JOBS:
        await make_job(client, job, stream="bulk", tags=tuple(tags[job]))
    kinds = (events.Opened, events.Clicked, events.Delivered)
    facts = []
    for number in range(400):
        job = chance.choice(JOBS)
        facts.append(
            chance.choice(kinds)(
                event_id=f"{number:016x}", occurred_at=CREATED, tenant="acme", job=job, ordinal=number % 50
            )
        )
    await publish(client, *facts)
    await catch_up(client, P, indexing(client))

    for _ in range(40):
        wanted = Wanted(
            "acme",
            chance.choice([None, frozenset({"message.opened"}), frozenset({"message.clicked", "message.bounced"})]),
            chance.choice([None, *JOBS]),
            chance.choice([None, "r7@example.org"]),
            chance.choice([None, "a", "b"]),
        )
        is_newest, limit, after, found = chance.random() < 0.5, chance.randint(1, 90), None, []
        while True:
            page = await feed(client).page(wanted, after, limit, is_newest)
            found += [event.event_id for event in page.events]
            after = page.positions
            assert len(page.events) == limit or not page.more
            if not page.more:
                break

        expected = [
            fact.event_id
            for fact in facts
            if (wanted.types is None or fact.topic in wanted.types)
            and wanted.job in (None, fact.job)
            and (wanted.email is None or fact.ordinal == 7)
            and (wanted.tag is None or wanted.tag in tags[fact.job])
        ]
        assert sorted(found) == sorted(expected)


# How long it is kept


async def test_chunks_go_with_their_events_and_a_feed_that_gets_no_more_ends(client: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("services.reports.feed.chunks.FULL_BYTES", 8)
    await publish(client, *(opened(JOBS[0], number) for number in range(20)), ms=CREATED)
    await catch_up(client, P, indexing(client))
    before = await client.llen(keys.tenant_feed(0, "acme"))
    await publish(client, opened(JOBS[0], 20), ms=CREATED + 2 * WEEK_MS)

    await catch_up(client, P, indexing(client, CREATED + 2 * WEEK_MS))

    assert before > 3
    assert await client.llen(keys.tenant_feed(0, "acme")) <= 2
    for name in (keys.tenant_feed(0, "acme"), keys.job_feed(0, JOBS[0])):
        assert 0 < await client.pttl(name) <= WEEK_MS + 86_400_000


async def test_nothing_is_trimmed_that_is_not_in_the_feeds(client: Any) -> None:
    await bus.register(client, keys.events(0), keys.GROUP_REPORTS)
    await publish(client, *(opened(JOBS[0], number) for number in range(300)), ms=CREATED)
    read = await client.xreadgroup(keys.GROUP_REPORTS, "me", {keys.events(0): ">"}, count=1_000)
    await client.xack(keys.events(0), keys.GROUP_REPORTS, *(entry for entry, _ in read[0][1]))
    await client.set(keys.feed_mark(0), f"{CREATED}-0")

    assert await trimming.trim(client, 0, CREATED + WEEK_MS, WEEK_MS) == 0
    await catch_up(client, P, indexing(client))
    assert await trimming.trim(client, 0, CREATED + WEEK_MS, WEEK_MS) > 0


async def test_nothing_is_trimmed_of_a_stream_that_nobody_has_read_yet(client: Any) -> None:
    await bus.register(client, keys.events(0), keys.GROUP_REPORTS)
    assert await trimming.trim(client, 0, CREATED, WEEK_MS) == 0
    await publish(client, opened(JOBS[0], 1))

    assert await trimming.trim(client, 0, CREATED, WEEK_MS) == 0
    assert await client.get(keys.trimmed(0)) is None


# Over HTTP


@pytest.fixture
async def site(client: Any) -> AsyncIterator[Any]:
    tenants = Tenants(client)
    await tenants.create("acme")
    _, key = await tenants.create_key("acme", ["read"])
    app = api.application(
        http.routes(feed(client), Live(feed(client), 9, 9, lambda: 0.0), P), tenants, max_body_bytes=10_000
    )
    async with test_utils.TestClient(test_utils.TestServer(app)) as web:

        async def call(**query: Any) -> tuple[int, Any]:
            await catch_up(client, P, indexing(client))
            async with web.get("/v1/events", params=query, headers={"Authorization": f"Bearer {key}"}) as answer:
                return answer.status, await answer.json()

        yield call


async def test_from_now_on_is_what_comes_after(client: Any, site: Any) -> None:
    await publish(client, opened(JOBS[0], 1), opened(JOBS[1], 1))

    _, first = await site(after="now")
    await publish(client, opened(JOBS[0], 2))
    _, second = await site(after=first["next"])

    assert (first["events"], first["more"]) == ([], False)
    assert [event["event_id"] for event in second["events"]] == ids_of(opened(JOBS[0], 2))


async def test_a_cursor_behind_which_something_was_removed_is_too_old(client: Any, site: Any) -> None:
    await publish(client, opened(JOBS[0], 1), opened(JOBS[0], 2))
    _, page = await site(limit=1)
    _, end = await site(after=page["next"])
    await client.set(keys.trimmed(0), (await client.xrevrange(keys.events(0), count=1))[0][0])

    status, problem = await site(after=page["next"])

    assert (status, problem["type"].rpartition(":")[2]) == (410, "cursor_too_old")
    assert (await site(after=end["next"]))[0] == 200
    assert (await site())[0] == 200


async def test_newest_first_goes_back_page_by_page_and_its_cursor_goes_no_other_way(client: Any, site: Any) -> None:
    facts = [opened(JOBS[number % 3], number) for number in range(10)]
    await publish(client, *facts)
    seen: list[str] = []
    query: dict[str, Any] = {"order": "newest", "limit": 4}
    while True:
        _, page = await site(**query)
        seen += [event["event_id"] for event in page["events"]]
        query["after"] = page["next"]
        if not page["more"]:
            break

    assert sorted(seen) == sorted(ids_of(*facts))
    assert seen[:1] == ids_of(facts[-1])
    assert (await site(after=page["next"]))[0] == 422


async def test_events_are_chosen_by_when_they_were_recorded(client: Any, site: Any) -> None:
    for hour in range(4):
        await publish(client, opened(JOBS[0], hour), ms=CREATED + hour * 3_600_000)

    _, page = await site(since="2023-11-14T23:00:00Z", until="2023-11-15T00:30:00Z")
    status, problem = await site(since="yesterday")

    assert [event["event_id"] for event in page["events"]] == ids_of(opened(JOBS[0], 1), opened(JOBS[0], 2))
    assert (status, [fault["at"] for fault in problem["faults"]]) == (422, ["?since"])
