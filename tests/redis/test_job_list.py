"""The jobs of a tenant, or of all, page by page: the latest first, each with how far it is, and what filters leave."""

from typing import Any

import pytest

from services.queueing.store import JobStore
from services.reports import job_list
from services.reports.job_list import JobList, JobPage, JobQuery
from services.reports.state import ACCEPTED, State
from services.reports.store import ReportReader
from shared.redis import cancels, keys, stops
from shared.redis.cancels import Cancel, CancelList, Cancels
from shared.redis.stops import Stop, StopList
from shared.words import ids
from tests.jobs import new_job

P = 4
NOW_MS = 1_790_000_000_000


def job_id(number: int) -> str:
    return ids.new_job_id(NOW_MS + number, (number << 16 | number).to_bytes(6, "big"), P)


async def store(client: Any, number: int, *, tenant: str = "acme", stream: str = "bulk", **fields: Any) -> str:
    job = job_id(number)
    await JobStore(client, P, 1_000).store(
        job, new_job(tenant=tenant, stream=stream, total=0, **fields), [], "queueing"
    )
    return job


@pytest.fixture
def jobs(client: Any) -> JobList:
    return JobList(ReportReader(client, P), StopList(client), Cancels(CancelList(client)))


def ids_of(page: JobPage) -> list[str]:
    return [one.id for one in page.jobs]


async def test_pages_show_each_job_once_the_latest_first_of_a_tenant_or_of_all(client: Any, jobs: JobList) -> None:
    acme = [await store(client, number) for number in range(7)]
    beta = [await store(client, number, tenant="beta") for number in range(7, 10)]

    seen, after = [], ""
    while True:
        page = await jobs.page(JobQuery(limit=3, after=after), "acme")
        seen += ids_of(page)
        if page.next is None:
            break
        after = page.next

    assert seen == acme[::-1]
    assert ids_of(await jobs.page(JobQuery(), None)) == [*beta[::-1], *acme[::-1]]
    assert ids_of(await jobs.page(JobQuery(), "nobody")) == []


async def test_filters_leave_what_fits(client: Any, jobs: JobList) -> None:
    await store(client, 1, stream="transactional")
    second = await store(client, 2, list="news", tags=("a", "b"))
    third = await store(client, 3, tags=("b",))
    await StopList(client).add(stops.of_job(third), Stop(stops.PAUSED, "acme", NOW_MS, "tenant"))

    async def chosen(**query: Any) -> list[str]:
        return ids_of(await jobs.page(JobQuery(**query), "acme"))

    assert await chosen(stream=frozenset(["bulk"])) == [third, second]
    assert await chosen(list="news") == [second]
    assert await chosen(tag="b") == [third, second]
    assert await chosen(state=frozenset(["paused"])) == [third]


async def test_what_a_page_looks_at_has_a_bound(client: Any, jobs: JobList, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_list, "TOGETHER", 2)
    monkeypatch.setattr(job_list, "MOST_LOOKED_AT", 4)
    wanted = await store(client, 0, list="news")
    for number in range(1, 7):
        await store(client, number)

    first = await jobs.page(JobQuery(list="news"), "acme")
    second = await jobs.page(JobQuery(list="news", after=first.next or ""), "acme")

    assert (first.jobs, first.next) == ([], job_id(3))
    assert ids_of(second) == [wanted]


async def test_how_far_a_job_is_comes_of_its_counts_its_stops_and_what_is_cancelled(client: Any, jobs: JobList) -> None:
    job = await store(client, 1)
    p = ids.job_partition(job, P)
    await client.hset(keys.job(p, job), "total", 10)
    await client.hset(keys.job(p, job), "state", "queued")
    for byte, count in ((State.DELIVERED | ACCEPTED, 6), (State.CANCELLED, 1), (ACCEPTED, 3)):
        await client.hset(keys.job_counts(p, job), f"state:{byte}", count)
    await CancelList(client).add(cancels.of_tenant("acme"), Cancel("acme", NOW_MS + 1_000, "operator"))

    (shown,) = (await jobs.page(JobQuery(), None)).jobs

    assert (shown.state, shown.delivered, shown.cancelled, shown.pending) == ("cancelling", 6, 1, 3)
    await client.hset(keys.job_counts(p, job), f"state:{ACCEPTED}", 0)
    await client.hset(keys.job_counts(p, job), f"state:{State.CANCELLED | ACCEPTED}", 3)
    (shown,) = (await jobs.page(JobQuery(), None)).jobs
    assert (shown.state, shown.cancelled, shown.pending) == ("done", 4, 0)
