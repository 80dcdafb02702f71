"""Statistics that Redis has forgotten are told by the archive: the same call, the same numbers, and nobody else's."""

import asyncio
import json
import random
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import pyarrow.parquet as pq
import pytest
from aiohttp import test_utils

from loadtests import statistics as generated
from loadtests.counting import Model
from services.archive.statistics import Statistics
from services.archive.store import ArchiveStore
from services.reports import kept_days, statistics_http
from services.reports.folding import Folding
from services.reports.job_list import JobList
from services.reports.reports import Reports
from services.reports.statistics import By, Interval, StatisticsQuery, StatisticsReader
from services.reports.store import ReportReader, ReportStore
from shared.archive import names
from shared.archive.asked import Counts, Missing, SearchFailed, TooSlow
from shared.archive.search import Search
from shared.archive.target import Folder, Store, opened
from shared.http import api
from shared.redis import bus, keys, unarchived
from shared.redis.cancels import CancelList, Cancels
from shared.redis.leases import Lease
from shared.redis.stops import StopList
from shared.redis.tenants import Tenants
from shared.words import events, ids
from shared.words.errors import Problem
from tests.object_store import BUCKET, REGION, object_store

P = generated.PARTITIONS
TENANT = generated.TENANT
BORN_MS = generated.BORN_MS
DAY_MS = 86_400_000
FIRST_DAY = BORN_MS // DAY_MS
JOBS = generated.job_names()
#: When everything is over, and when Redis would have forgotten it by itself.
LATER_MS, LONG_AFTER_MS = BORN_MS + 10 * DAY_MS, BORN_MS + 200 * DAY_MS
SINCE = datetime.fromtimestamp((BORN_MS - DAY_MS) / 1000, UTC)
UNTIL = datetime.fromtimestamp((BORN_MS + 8 * DAY_MS) / 1000, UTC)
FILTERS: list[dict[str, Any]] = [
    {}, {"list": "newsletter"}, {"tag": "soldes"}, {"category": "promotion"}, {"stream": "bulk"},
    {"domain": "exemple.fr", "tag": "hiver"}, {"list": "nobody's"}, {"list": ""},
]  # fmt: skip


class House:
    """Facts are counted and put away, their days archived and forgotten. `now_ms` is the clock of the archive."""

    def __init__(self, client: Any, folder: Path) -> None:
        self.client = client
        self.folder = folder
        self.place = (str(folder), folder / "scratch", "", "")
        self.target: Folder | Store = Folder(folder)
        self.now_ms = LATER_MS
        self.lease = Lease(ArchiveStore(client, P, "me"), time.monotonic)
        self.statistics = self._statistics()
        self.folding = Folding(client, P, 92, is_archived=True)
        self.counted: list[events.Fact] = []

    async def count(self, *facts: events.Fact) -> None:
        await generated.put(self.client, facts)
        reports = Reports(ReportStore(self.client, late=generated.LATE), lambda: 0)
        for p in range(P):
            while found := await self.client.xreadgroup(keys.GROUP_REPORTS, "one", {keys.events(p): ">"}, count=50):
                await reports.count(p, [bus.entry(number, held) for _, some in found for number, held in some])
        await generated.fold_all(self.folding, P)

    def move_to_store(self, url: str) -> None:
        """The archive is in an S3-compatible store."""
        self.place = (f"s3://{BUCKET}/of/us", self.folder / "scratch", url, REGION)
        self.target = opened(*self.place)
        self.statistics = self._statistics()

    def _statistics(self) -> Statistics:
        return Statistics(self.client, P, self.target, self.lease, lambda: self.now_ms)

    async def archive(self) -> None:
        await self.lease.renew()
        await self.statistics.sweep()

    async def forget(self, *partitions: int) -> None:
        """As Redis does once its time is over: what has none it keeps."""
        for p in partitions or range(P):
            for day in range(FIRST_DAY - 1, FIRST_DAY + 9):
                name = keys.statistics(p, TENANT, day)
                if await self.client.pttl(name) > 0:
                    await self.client.delete(name)

    async def model(self) -> Model:
        """A plain count of all that lies on the streams."""
        model = Model({job: generated.job_fields(at) for at, job in enumerate(JOBS)}, generated.LATE)
        for p in range(P):
            for stream_id, held in await self.client.xrange(keys.events(p)):
                entry = bus.entry(stream_id, held)
                model.count(entry.message(), entry.written_ms)
        return model

    def search(self, seconds: float = 20) -> Search:
        return Search(*self.place, seconds, 2, 64)

    def reader(self, behind: Counts | None = None) -> StatisticsReader:
        return StatisticsReader(self.client, P, lambda: LONG_AFTER_MS, 92, behind or self.search())

    def rows(self) -> list[dict[str, Any]]:
        files = sorted((self.folder / names.statistics_folder(TENANT)).glob("*/*.parquet"))
        return [row for file in files for row in pq.ParquetFile(file).read().to_pylist()]


@pytest.fixture
async def house(client: Any, tmp_path: Path) -> House:
    await generated.prepare(client)
    made = House(client, tmp_path / "archive")
    await made.lease.renew()
    return made


def queries() -> list[StatisticsQuery]:
    return [
        StatisticsQuery(SINCE, UNTIL, by, interval, **filters)
        for by in get_args(By)
        for interval in get_args(Interval)
        for filters in FILTERS
    ]


async def answers(reader: StatisticsReader, tenant: str = TENANT) -> list[Any]:
    """Of every question; its refusal where it has none."""
    found: list[Any] = []
    for query in queries():
        try:
            found.append(await reader.of_tenant(tenant, query))
        except Problem as problem:
            found.append(problem.faults)
    return found


def about(job: int, ordinal: int, event: object, after_ms: int = 0) -> events.About:
    return events.about_message(TENANT, JOBS[job], ordinal, BORN_MS + after_ms, event)


async def test_answers_are_the_same_before_and_after_archiving_and_after_redis_forgot(house: House) -> None:
    await house.count(*generated.generated(900, random.Random(3), 25))
    assert await generated.differences(house.client, await house.model()) == []
    before = await answers(StatisticsReader(house.client, P, lambda: LONG_AFTER_MS, 92))
    assert sum(len(answer.rows) for answer in before if not isinstance(answer, list)) > 500

    await house.archive()

    assert await answers(house.reader()) == before
    await house.forget(0)
    assert await answers(house.reader()) == before
    await house.forget()
    assert await house.client.keys("*:statistics:acme:*") == []
    assert await answers(house.reader()) == before
    assert all(not answer.rows for answer in await answers(house.reader(), "other") if not isinstance(answer, list))


async def test_answers_are_the_same_from_a_store(house: House) -> None:
    with object_store() as url:
        house.move_to_store(url)
        for seed in (5, 6):  # the second time the file is there, and is made anew
            await house.count(*generated.generated(200, random.Random(seed), 10))
            before = await answers(StatisticsReader(house.client, P, lambda: LONG_AFTER_MS, 92))
            await house.archive()
        await house.forget()

        assert await answers(house.reader()) == before
        assert sum(len(answer.rows) for answer in before if not isinstance(answer, list)) > 100


async def test_the_files_have_what_a_plain_count_of_the_events_says(house: House) -> None:
    await house.count(*generated.generated(2_000, random.Random(4), 60))

    await house.archive()

    model, rows = await house.model(), house.rows()
    for kind, name, told in (
        ("hour", "hours", ("group", "hour", "code")),
        ("place", "places", ("group", "code", "provider", "source")),
        ("provider", "providers", ("hour", "code", "provider")),
        ("source", "sources", ("hour", "code", "source")),
    ):
        found: Counter[Any] = Counter()
        for row in rows:
            if row["kind"] == kind:
                row["group"] = (*(row[word] for word in ("stream", "domain", "list", "category")), tuple(row["tags"]))
                found[tuple(row[one] for one in told)] += row["number"]
        expected = Counter({key: number for key, number in model.of_tenant(name).items() if number})
        assert {key: number for key, number in found.items() if number} == expected


async def test_what_is_told_late_replaces_what_the_file_had_and_nothing_else(house: House) -> None:
    await house.count(*generated.generated(300, random.Random(5), 20))
    await house.archive()
    await house.forget(0)
    job = next(at for at, name in enumerate(JOBS[:-1]) if ids.job_partition(name, P) == 1)

    await house.count(events.Complained(**about(job, 40_000, "late", 3_600_000), feedback_type="abuse"))
    marked = [await unarchived.marked(house.client, p) for p in range(P)]
    before = await answers(house.reader())
    await house.archive()

    assert [len(days) for days in marked] == [0, 1]
    assert [await unarchived.marked(house.client, p) for p in range(P)] == [[], []]
    assert await answers(house.reader()) == before
    await house.forget()
    assert await answers(house.reader()) == before
    assert sum(row["number"] for row in house.rows() if row["kind"] == "hour") == sum(
        (await house.model()).of_tenant("hours").values()
    )


async def test_a_day_that_is_in_no_file_stays_and_who_dies_in_between_is_gone_on_after(house: House) -> None:
    await house.count(*generated.generated(200, random.Random(6), 20))
    before = await answers(StatisticsReader(house.client, P, lambda: LONG_AFTER_MS, 92))

    await house.forget()
    assert await answers(house.reader()) == before
    move = house.target.move

    def dies(scratch: Path, path: str) -> None:
        move(scratch, path)
        raise OSError("died")

    house.target.move = dies  # type: ignore[method-assign]
    with pytest.raises(OSError, match="died"):
        await house.archive()
    await house.forget()
    house.target.move = move  # type: ignore[method-assign]
    assert await answers(house.reader()) == before
    await house.archive()
    await house.forget()

    assert await answers(house.reader()) == before


async def test_what_is_put_away_while_a_day_is_written_makes_it_be_written_again(house: House) -> None:
    await house.count(events.Accepted(**about(0, 0, "a"), site="gmail"))
    put = house.statistics._put
    loop = asyncio.get_running_loop()

    def meanwhile(path: str, days: Any) -> int:
        more = house.count(events.Accepted(**about(0, 1, "b"), site="gmail"))
        asyncio.run_coroutine_threadsafe(more, loop).result()
        return put(path, days)

    house.statistics._put = meanwhile  # type: ignore[method-assign]
    await house.archive()
    house.statistics._put = put  # type: ignore[method-assign]
    await house.forget()
    assert len(await unarchived.marked(house.client, 0)) == 1
    await house.archive()
    await house.forget()

    assert [row["number"] for row in house.rows() if row["kind"] == "hour"] == [2]


async def test_a_day_is_written_once_it_is_over(house: House) -> None:
    await house.count(events.Accepted(**about(0, 0, "a"), site="gmail"))

    house.now_ms = (FIRST_DAY + 1) * DAY_MS
    await house.archive()
    assert house.target.stored() == []
    house.now_ms += DAY_MS
    await house.archive()

    month = names.month_of(FIRST_DAY)
    assert [file.path for file in house.target.stored()] == [names.statistics(TENANT, month)]
    assert house.target.folders() == []


async def test_days_whose_time_is_over_are_not_begun_anew(house: House) -> None:
    house.folding = Folding(house.client, P, 1, is_archived=True)

    await house.count(events.Accepted(**about(0, 0, "a"), site="gmail"))

    assert await unarchived.marked(house.client, 0) == []
    assert not await house.client.exists(keys.statistics(0, TENANT, FIRST_DAY))


async def test_without_an_archive_nothing_waits_for_it(house: House) -> None:
    await house.count(events.Accepted(**about(0, 0, "a"), site="gmail"))
    name = keys.statistics(0, TENANT, FIRST_DAY)
    assert await house.client.pttl(name) == -1
    stopping = asyncio.Event()

    working = asyncio.create_task(Folding(house.client, P, 92).run(stopping))
    async with asyncio.timeout(10):
        while await unarchived.marked(house.client, 0):  # noqa: ASYNC110 - another task's, in Redis
            await asyncio.sleep(0.01)
    stopping.set()
    await working

    assert await house.client.pttl(name) > 0


async def test_what_redis_forgot_before_it_was_to_keep_more_is_looked_for_in_the_archive(client: Any) -> None:
    today = 20_000
    assert await kept_days.first_day(client, 92, today) == today - 92

    await kept_days.note(client, 30, today)
    assert await kept_days.first_day(client, 30, today) == today - 30
    await kept_days.note(client, 92, today + 1)
    await kept_days.note(client, 92, today + 20)

    assert await kept_days.first_day(client, 92, today + 20) == today + 1 - 30
    assert await kept_days.first_day(client, 92, today + 200) == today + 108
    await kept_days.note(client, 10, today + 200)
    assert await kept_days.first_day(client, 10, today + 200) == today + 190


async def test_recent_statistics_need_no_archive(house: House) -> None:
    await house.count(events.Accepted(**about(0, 0, "a"), site="gmail"))
    recent = StatisticsReader(house.client, P, lambda: BORN_MS + 9 * DAY_MS, 92, Missing("duckdb"))

    assert (await recent.of_tenant(TENANT, StatisticsQuery(SINCE, UNTIL))).total.counts.accepted == 1


async def test_an_archive_that_says_nothing_in_time_or_is_away_is_a_problem_that_says_so(house: House) -> None:
    await house.count(*generated.generated(50, random.Random(8), 5))
    await house.archive()
    await house.forget()
    query = StatisticsQuery(SINCE, UNTIL)

    with pytest.raises(TooSlow, match="fewer days"):
        await house.reader(house.search(seconds=0.000_001)).of_tenant(TENANT, query)
    away = Search(str(house.folder / "away"), house.folder, "", "", 5, 1, 64)
    with pytest.raises(SearchFailed, match="cannot be read"):
        await house.reader(away).of_tenant(TENANT, query)
    file = next((house.folder / names.STATISTICS).glob("*/*/*.parquet"))
    file.write_bytes(b"no parquet")
    with pytest.raises(SearchFailed, match="cannot be read"):
        await house.reader().of_tenant(TENANT, query)


async def test_over_http_it_is_the_same_call_and_503_says_why(house: House) -> None:
    await house.count(events.Delivered(**about(0, 0, "d"), site="gmail", source="192.0.2.1"))
    await house.archive()
    await house.forget()
    tenants = Tenants(house.client)
    await tenants.create(TENANT)
    key = (await tenants.create_key(TENANT, ["read"]))[1]
    reports = ReportReader(house.client, P)
    jobs = JobList(reports, StopList(house.client), Cancels(CancelList(house.client)))
    when = {"from": SINCE.isoformat(), "to": UNTIL.isoformat(), "by": "provider"}

    async def asked(reader: StatisticsReader) -> tuple[int, Any, Any]:
        app = api.application(statistics_http.routes(reader, reports, jobs), tenants, max_body_bytes=10_000)
        async with test_utils.TestClient(test_utils.TestServer(app)) as web:
            headers = {"Authorization": f"Bearer {key}"}
            async with web.get("/v1/statistics", params=when, headers=headers) as answer:
                return answer.status, json.loads(await answer.text()), answer.headers

    status, shown, _ = await asked(house.reader())
    failed, problem, headers = await asked(house.reader(Missing("duckdb")))

    assert status == 200
    assert [(row["key"], row["counts"]["delivered"]) for row in shown["rows"]] == [("gmail", 1)]
    assert (failed, problem["type"].rpartition(":")[2]) == (503, "archive_unavailable")
    assert "duckdb is not installed" in problem["detail"]
    assert "Retry-After" in headers
