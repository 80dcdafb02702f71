"""What the streams have no more is found in the archive, by the same calls, in the same order, and nobody else's."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from aiohttp import test_utils

from services.archive.archive import Archive, Due
from services.archive.kinds import JobKinds
from services.archive.statistics import Statistics
from services.archive.store import ArchiveStore
from services.archive.tending import Tending
from services.reports import http
from services.reports.feed.feed import CursorTooOld, Feed, Wanted
from services.reports.feed.indexing import Indexing, Kept
from services.reports.feed.live import Live
from services.reports.job_list import JobList
from services.reports.store import ReportReader
from shared.archive.asked import Asked, Behind, Missing, Place, SearchFailed, TooSlow
from shared.archive.search import Search
from shared.archive.target import Folder, Store, opened
from shared.http import api
from shared.redis import archived, bus, keys
from shared.redis.cancels import CancelList, Cancels
from shared.redis.erased import Erased
from shared.redis.leases import Lease
from shared.redis.recipients import Recipients
from shared.redis.stops import StopList
from shared.redis.tenants import Tenants
from shared.words import events, ids
from shared.words.erased import ErasureKeys
from tests.feeds import catch_up, message_list
from tests.jobs import job_hash
from tests.object_store import BUCKET, REGION, object_store

P = 3
DAY_MS = 86_400_000
#: When the events were recorded: over three days.
BEGAN = 1_700_000_000_000
SECRETS = ErasureKeys(b"0" * 32)
JOBS = [ids.new_job_id(BEGAN, bytes([seed]) * 6, P, seed % P) for seed in range(6)]
TENANTS = ("acme", "acme", "acme", "acme", "other", "other")
EVER = {p: Place((0, 0), (2**47, 0)) for p in range(P)}


def fact(number: int) -> events.Fact:
    """One of many kinds of facts; of every field something."""
    job = JOBS[number % 6]
    tenant = TENANTS[number % 6]
    base: Any = {
        "event_id": f"e{number}",
        "occurred_at": BEGAN + number * 60_000 - number % 7,
        "tenant": tenant,
        "job": job,
        "ordinal": number % 9,
        "sequence": number,
        "email": f"R{number % 9}@{tenant}.example",
    }
    match number % 5:
        case 0:
            return events.Delivered(**base, site="a.example", reply="250 ok", size_bytes=number, tls="TLSv1.3")
        case 1:
            return events.Deferred(**base, attempt=2, reply="451 later", retry_at=BEGAN + number)
        case 2:
            return events.Bounced(**base, kind="hard", reply="550 no", late=True)
        case 3:
            return events.Clicked(**base, url="https://a.example/", position=3, user_agent="é☃")
        case _:
            del base["job"], base["ordinal"], base["sequence"]
            return events.Suppressed(**base, reason="manual", scope="list:news")


class House:
    """A Redis and an archive of it."""

    def __init__(self, client: Any, folder: Path) -> None:
        self.client = client
        self.folder = folder
        self.place = (str(folder), folder / "scratch", "", "")
        self.now_ms = BEGAN
        self.store = ArchiveStore(client, P, "me")
        self.lease = Lease(self.store, time.monotonic)
        self.target: Folder | Store = Folder(folder)
        self.made: list[events.Fact] = []

    def move_to_store(self, url: str) -> None:
        """The archive is in an S3-compatible store."""
        self.place = (f"s3://{BUCKET}/of/us", self.folder / "scratch", url, REGION)
        self.target = opened(*self.place)

    async def publish(self, number: int, step_ms: int = 300_000) -> None:
        """So many more, each `step_ms` after the one before, in whatever partition."""
        for _ in range(number):
            at = len(self.made)
            one = fact(at)
            p = bus.fact_partition(one, P)
            where = f"{BEGAN + at * step_ms}-{at % 3}"
            await self.client.xadd(keys.events(p), {"t": type(one).__name__, "v": 1, "b": events.encode(one)}, id=where)
            self.made.append(one)
        await catch_up(self.client, P, Indexing(self.client, P, Kept(10**13, 10**12, 100), SECRETS, lambda: BEGAN))

    async def archive(self, file_events: int = 40) -> None:
        """All that is on the streams."""
        await self.store.register()
        assert await self.lease.renew()
        archive = Archive(
            self.store,
            self.target,
            Recipients(self.client, P),
            Erased(self.client, P, SECRETS),
            JobKinds(self.client, P),
            self.lease,
            Due(1, file_events, lambda: 10**13),
            lambda: 10**13,
            1_000,
        )
        stopping = asyncio.Event()
        working = asyncio.create_task(archive.run(P, stopping))
        async with asyncio.timeout(30):
            while await self.is_behind():  # noqa: ASYNC110 - Redis's state
                await asyncio.sleep(0.02)
        stopping.set()
        await working

    def tending(self, now_ms: Callable[[], int] = lambda: BEGAN + 9 * DAY_MS) -> Tending:
        statistics = Statistics(self.client, P, self.target, self.lease, now_ms)
        return Tending(self.store, self.target, SECRETS, self.lease, now_ms, -(10**15), statistics)

    async def is_behind(self) -> bool:
        return any([await archived.oldest_outside_ms(self.client, p) is not None for p in range(P)])

    async def trim(self, number: int, step_ms: int = 300_000) -> None:
        """The streams keep all but the first so many, more or less, each in its way."""
        for p in range(P):
            limit = f"{BEGAN + (number + 7 * p) * step_ms}-0"
            going = await self.client.xrevrange(keys.events(p), f"({limit}", "-", count=1)
            if going:
                await self.client.set(keys.trimmed(p), going[0][0])
                await self.client.xtrim(keys.events(p), minid=limit, approximate=False)

    def search(self, **how: Any) -> Search:
        asked = {"seconds": 20, "at_a_time": 2, "memory_mb": 64} | how
        return Search(*self.place, **asked)

    def feed(self, behind: Behind | None = None) -> Feed:
        return Feed(self.client, P, Recipients(self.client, P), lambda: 0.0, behind)


@pytest.fixture
async def house(client: Any, tmp_path: Path) -> House:
    for job, tenant in zip(JOBS, TENANTS, strict=True):
        at = JOBS.index(job)
        fields = {"stream": "bulk" if at % 2 else "transactional", "list": f"l{at}", "tags": ("all", f"t{at}")}
        await client.hset(
            keys.job(ids.job_partition(job, P), job), mapping=job_hash(tenant=tenant, state="queued", **fields)
        )
    return House(client, tmp_path / "archive")


async def pages(feed: Feed, wanted: Wanted, limit: int, is_newest: bool = False) -> list[Any]:
    """Page by page, until there is no more."""
    found: list[Any] = []
    after = None
    while True:
        page = await feed.page(wanted, after, limit, is_newest)
        assert len(page.events) == limit or not page.more
        found += page.events
        after = page.positions
        if not page.more:
            return found


FILTERS: list[dict[str, Any]] = [
    {},
    {"types": frozenset(("message.bounced", "address.suppressed"))},
    {"job": JOBS[0]},
    {"email": "r3@acme.example"},
    {"tag": "t1"},
    {"list": "l2"},
    {"streams": frozenset(("bulk",))},
    {"until_ms": BEGAN + 150 * 300_000},
    {"since_ms": BEGAN + 60 * 300_000, "until_ms": BEGAN + 220 * 300_000, "tag": "all"},
    {"since_ms": BEGAN + 280 * 300_000},
]


@pytest.fixture(params=["a folder", "a store"])
def somewhere(request: pytest.FixtureRequest, house: House) -> Iterator[House]:
    """What the archive may be in."""
    with object_store() if request.param == "a store" else nullcontext() as url:
        if url:
            house.move_to_store(url)
        yield house


@pytest.mark.parametrize("is_newest", [False, True])
@pytest.mark.parametrize("is_merged", [False, True])
async def test_pages_are_the_same_before_and_after_the_streams_forgot(
    somewhere: House, is_newest: bool, is_merged: bool
) -> None:
    house = somewhere
    await house.publish(300)
    wanted = [Wanted("acme", **{"since_ms": 0, **asked}) for asked in FILTERS]
    before = [await pages(house.feed(), one, 1_000, is_newest) for one in wanted]
    await house.archive()
    if is_merged:
        tending = house.tending()
        await tending.sweep()
        assert {file.name for file in house.target.stored()} == {"day.parquet"}

    await house.trim(180)

    feed = house.feed(house.search())
    for one, shown in zip(wanted, before, strict=True):
        assert sorted(event.event_id for event in shown) == sorted({event.event_id for event in shown})
        found = await pages(feed, one, 60, is_newest)
        assert sorted(found, key=lambda event: event.event_id) == sorted(shown, key=lambda event: event.event_id)
        # Within a page events are in the order of their own time, and pages in that of the streams.
        assert [event.event_id for event in found[:60]] == [event.event_id for event in shown[:60]]
    assert all(before[:-1])


async def test_a_cursor_goes_on_in_the_archive_and_back_to_the_streams(house: House) -> None:
    await house.publish(300)
    first = await house.feed().page(Wanted("acme"), None, 20)
    await house.archive()
    await house.trim(200)

    with pytest.raises(CursorTooOld):
        await house.feed().page(Wanted("acme"), first.positions, 20)
    found, after = list(first.events), first.positions
    feed = house.feed(house.search())
    while True:
        page = await feed.page(Wanted("acme"), after, 20)
        found, after = found + page.events, page.positions
        if not page.more:
            break

    assert [one.event_id for one in found] == [one.event_id for one in house.made if one.tenant == "acme"]
    assert len(await pages(feed, Wanted("acme"), 1_000)) < len(found)  # who names no time gets what is at hand


async def test_what_was_trimmed_before_there_was_an_archive_is_told(house: House) -> None:
    await house.publish(100)
    first = await house.feed().page(Wanted("acme"), None, 5)
    await house.trim(30)
    await house.archive()
    await house.publish(100)
    await house.archive()
    await house.trim(150)

    with pytest.raises(CursorTooOld):
        await house.feed(house.search()).page(Wanted("acme"), first.positions, 20)
    since = await pages(house.feed(house.search()), Wanted("acme", since_ms=0), 50)

    assert len(since) == len({one.event_id for one in since}) > 80


async def test_whose_files_are_read_is_in_their_path_alone(house: House) -> None:
    await house.publish(60)
    await house.archive()
    search = house.search()

    for hostile in (
        "' or 1=1 --",
        "%",
        "acme'); drop table found; --",
        "*",
        "acme/../other",
        "read_csv('/etc/passwd')",
    ):
        for name in ("job", "email", "tag", "list"):
            asked: dict[str, Any] = {name: hostile}
            answer = await search.find(Asked("acme", EVER, 100, **asked))
            assert (answer.rows, answer.is_whole) == ([], True)
        answer = await search.find(Asked("acme", EVER, 100, types=frozenset((hostile,)), streams=frozenset((hostile,))))
        assert answer.rows == []
    assert (await search.find(Asked("nobody", EVER, 100))).rows == []
    for tenant in ("../x", "acme/../other", "*", ""):
        with pytest.raises(ValueError, match="no name of a tenant"):
            await search.find(Asked(tenant, EVER, 100))
    found = await search.find(Asked("other", EVER, 1_000))
    assert {row.fact.tenant for row in found.rows} == {"other"}
    assert {row.fact.event_id for row in found.rows} == {one.event_id for one in house.made if one.tenant == "other"}


async def test_the_database_opens_neither_files_nor_settings(house: House) -> None:
    import duckdb

    from shared.archive.search import _database

    database = _database(64)
    for statement in (
        "select * from read_csv('/etc/passwd')",
        "select * from '/etc/passwd'",
        "copy (select 1) to '/tmp/x.csv'",
        "set enable_external_access = true",
        "install httpfs",
        "attach '/tmp/x.db'",
    ):
        with pytest.raises(duckdb.Error):
            database.execute(statement)


async def test_a_search_that_is_merged_under_finds_each_event_once(somewhere: House) -> None:
    house = somewhere
    await house.publish(240)
    await house.archive(file_events=5)
    search = house.search()
    clock = iter(range(10**6))
    tending = house.tending(lambda: BEGAN + 9 * DAY_MS + next(clock))
    expected = [one.event_id for one in house.made if one.tenant == "acme"]

    merging = asyncio.create_task(tending.sweep())
    counted = 0
    while not merging.done() or counted < 3:
        assert await house.lease.renew()
        answer = await search.find(Asked("acme", EVER, 1_000))
        assert sorted(row.fact.event_id for row in answer.rows) == sorted(expected)
        counted += 1
    await merging


async def test_files_that_were_merged_and_are_still_there_count_once(house: House) -> None:
    await house.publish(100)
    await house.archive(file_events=10)
    kept = {file.path: (house.folder / file.path).read_bytes() for file in house.target.stored()}
    tending = house.tending()
    await tending.sweep()
    for path, whole in kept.items():
        (house.folder / path).write_bytes(whole)

    answer = await house.search().find(Asked("acme", EVER, 1_000))

    expected = [one.event_id for one in house.made if one.tenant == "acme"]
    assert sorted(row.fact.event_id for row in answer.rows) == sorted(expected)


async def test_a_search_without_time_says_so_and_the_loop_goes_on(house: House) -> None:
    await house.publish(60)
    await house.archive()
    search = house.search(seconds=0)

    with pytest.raises(TooSlow):
        await search.find(Asked("acme", EVER, 100))

    slow = house.search(at_a_time=1)
    beats = 0
    asked = [asyncio.create_task(slow.find(Asked("acme", EVER, 100))) for _ in range(4)]
    while not all(one.done() for one in asked):
        await asyncio.sleep(0.005)
        beats += 1
    assert beats > 2
    assert len({len((await one).rows) for one in asked}) == 1


async def test_an_archive_that_is_gone_broken_or_not_installed_is_told(house: House) -> None:
    await house.publish(60)
    await house.archive()
    some = house.target.stored("tenant=acme")[0]
    (house.folder / some.path).write_bytes(b"PAR1 no parquet")

    with pytest.raises(SearchFailed, match="cannot be read"):
        await house.search().find(Asked("acme", EVER, 100))
    with pytest.raises(SearchFailed, match="cannot be read"):
        await Search(str(house.folder / "away"), house.folder, "", "", 5, 1, 64).find(Asked("acme", EVER, 100))
    with pytest.raises(SearchFailed, match="duckdb is not installed"):
        await Missing("duckdb").find(Asked("acme", EVER, 100))


async def test_a_store_that_is_gone_or_has_another_archive_is_told(house: House) -> None:
    with object_store() as url:
        house.move_to_store(url)
        await house.publish(60)
        await house.archive()
        search = house.search(seconds=5)
        assert (await search.find(Asked("acme", EVER, 1_000))).is_whole

    with pytest.raises((SearchFailed, TooSlow)):
        await search.find(Asked("acme", EVER, 1_000))
    with object_store() as url:  # of that name there is none
        elsewhere = Search("s3://other/of/us", house.folder / "scratch", url, REGION, 5, 1, 64)
        with pytest.raises(SearchFailed, match="cannot be read"):
            await elsewhere.find(Asked("acme", EVER, 1_000))


async def test_random_searches_are_as_a_list_of_the_events_says(house: House) -> None:
    chance = random.Random(7)
    await house.publish(400, step_ms=2_000_000)
    await house.archive(file_events=25)
    search = house.search()
    for _ in range(25):
        first, last = sorted(chance.sample(range(400), 2))
        is_newest, limit = chance.random() < 0.5, chance.choice((1, 3, 50))
        after, upto = (BEGAN + first * 2_000_000, first % 3), (BEGAN + last * 2_000_000, last % 3)
        types = chance.choice((None, frozenset(("message.clicked", "message.delivered"))))
        asked = Asked("acme", {p: Place(after, upto) for p in range(P)}, limit, types=types, is_newest=is_newest)

        found: list[str] = []
        answer = await search.find(asked)
        found = [row.fact.event_id for row in answer.rows]

        wanted = [
            one.event_id
            for one in house.made[first + 1 : last + 1]
            if one.tenant == "acme" and (types is None or type(one).topic in types)
        ]
        assert found == (wanted[::-1] if is_newest else wanted)[:limit]


@pytest.fixture
async def site(house: House) -> AsyncIterator[Any]:
    """Calls as `acme`, or as another by its name."""
    tenants = Tenants(house.client)
    made: dict[str, str] = {}
    for tenant in ("acme", "other"):
        await tenants.create(tenant)
        made[tenant] = (await tenants.create_key(tenant, ["read"]))[1]
    recipients, search = Recipients(house.client, P), house.search()
    feed, reader = house.feed(search), ReportReader(house.client, P)
    jobs = JobList(reader, StopList(house.client), Cancels(CancelList(house.client)))
    listed = message_list(house.client, P, BEGAN)
    routes = http.routes(reader, feed, Live(feed, 9, 9, time.monotonic), recipients, jobs, listed, P, search)
    app = api.application(routes, tenants, max_body_bytes=10_000)
    async with test_utils.TestClient(test_utils.TestServer(app)) as web:

        async def call(path: str, by: str = "acme", **query: Any) -> tuple[int, Any]:
            headers = {"Authorization": f"Bearer {made[by]}"}
            async with web.get(path, params=query, headers=headers) as answer:
                return answer.status, await answer.json(content_type=None)

        yield call


async def test_a_message_is_shown_after_its_job_was_removed(house: House, site: Any) -> None:
    await house.publish(90)
    await house.archive()
    unknown = await site(f"/v1/messages/{JOBS[1]}.1")
    await house.client.delete(keys.job(1, JOBS[1]), keys.job(ids.job_partition(JOBS[4], P), JOBS[4]))

    status, shown = await site(f"/v1/messages/{JOBS[1]}.1")
    mine = [one for one in house.made if one.job == JOBS[1] and one.ordinal == 1]

    assert unknown[0] == 404  # while the job is kept, its own recipients say who is there
    assert status == 200
    assert (shown["id"], shown["email"], shown["metadata"]) == (f"{JOBS[1]}.1", "R1@acme.example", {})
    assert shown["state"] == "bounced"
    assert [one["event_id"] for one in shown["timeline"]] == [one.event_id for one in mine]
    assert all(one["details"] for one in shown["timeline"])
    assert await site(f"/v1/messages/{JOBS[4]}.1") == await site(f"/v1/messages/{JOBS[1]}.99999") == unknown
    assert await site(f"/v1/messages/{JOBS[1]}.1", by="other") == unknown
    assert (await site(f"/v1/messages/{JOBS[4]}.1", by="other"))[0] == 200


async def test_events_of_long_ago_are_listed_and_an_archive_that_is_away_is_told(house: House, site: Any) -> None:
    await house.publish(120)
    await house.archive()
    await house.trim(90)

    status, page = await site("/v1/events", since="2023-11-01T00:00:00Z", recipient="R3@ACME.example")
    at_hand = (await site("/v1/events"))[1]["events"]
    for file in house.target.stored("tenant=acme"):
        (house.folder / file.path).write_bytes(b"")
    away = await site("/v1/events", since="2023-11-01T00:00:00Z")

    assert status == 200
    assert {event["email"] for event in page["events"]} == {"R3@acme.example"}
    assert len(page["events"]) == len([one for one in house.made if one.email == "R3@acme.example"])
    assert away[0] == 503
    assert away[1]["type"].endswith("archive_unavailable")
    assert (await site("/v1/events"))[1]["events"] == at_hand
