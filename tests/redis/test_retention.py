"""Jobs go, with all that is kept for them, after their retention and never before; late facts bring nothing back."""

import itertools
import time
from collections.abc import Sequence
from typing import Any

import pytest
from aiohttp import test_utils
from prometheus_client import REGISTRY

from services.breakers.figures import Saw, Seen
from services.breakers.renderings import Rendered
from services.breakers.store import FigureStore
from services.queueing.store import JobStore
from services.reports import http, retention
from services.reports.feed.feed import Feed
from services.reports.feed.live import Live
from services.reports.job_list import JobList
from services.reports.reports import DAY_MS, Reports
from services.reports.retention import LOOK_MS, Retention
from services.reports.store import ReportReader, ReportStore
from services.suppression.store import Lists
from services.suppression.suppression import Suppression
from shared.http import api
from shared.redis import bus, cancels, keys, stops
from shared.redis.cancels import CancelList, Cancels
from shared.redis.recipients import Recipients, Waiting, pack_slim, pack_waiting
from shared.redis.stops import COMPLAINT_RATE, Stop, StopList
from shared.redis.suppression import Asked, SuppressionList
from shared.redis.tenants import Tenants
from shared.words import events, ids
from tests.jobs import new_job

P = 3
DAYS = 90
MADE_MS = 1_750_000_000_000
#: A job ends as far as anybody knows when it is looked at first.
SEEN_MS = MADE_MS + LOOK_MS + 1
GONE_MS = SEEN_MS + DAYS * DAY_MS
_chance = itertools.count(1)


class House:
    """Jobs in a Redis, what counts them, and the clock of what removes them."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.now_ms = MADE_MS
        self.store = JobStore(client, P, 1_000)
        self.retention = Retention(client, P, DAYS, lambda: self.now_ms)
        self.publisher = bus.Publisher(client, P, lambda: f"batch{next(_chance)}")
        self.recipients = Recipients(client, P)

    async def job(self, total: int = 3, *, made_ms: int = MADE_MS, start: Any = "queueing", **fields: Any) -> str:
        """Stored, and queued whole unless it waits to be started."""
        job = ids.new_job_id(made_ms, (next(_chance) << 20).to_bytes(6, "big"), P)
        people = [Waiting(email=f"u{n}@a.test", metadata={"crm": str(n)}) for n in range(total)]
        chunks = [(0, pack_waiting(0, people))] if total else []
        later = made_ms + DAY_MS if start == "scheduled" else 0
        await self.store.store(job, new_job(total=total, **fields), chunks, start, later)
        if start == "queueing" and total:
            p, stream = ids.job_partition(job, P), keys.intake(ids.job_partition(job, P), 1)
            await bus.register(self.client, stream, keys.GROUP_QUEUEING)
            read = await self.client.xreadgroup(keys.GROUP_QUEUEING, "me", {stream: ">"}, count=1, block=None)
            ((_, [(entry, _)]),) = read
            await self.store.finish("acme", job, 1, 0, pack_slim(0, people), total, entry.decode())
            assert await self.client.zcard(keys.job_recipients(p, job)) == 1
        return job

    async def happen(self, *facts: events.Fact) -> None:
        """Published, counted by reports and by breakers."""
        await self.publisher.publish(facts)
        reports = Reports(ReportStore(self.client), lambda: self.now_ms)
        for p in range(P):
            stream = keys.events(p)
            await bus.register(self.client, stream, keys.GROUP_REPORTS)
            read = await self.client.xreadgroup(keys.GROUP_REPORTS, "me", {stream: ">"}, count=1_000, block=None)
            entries = [bus.entry(number, fields) for _, rows in read or () for number, fields in rows]
            if entries:
                await reports.count(p, entries)

    async def ended(self, total: int = 3, **fields: Any) -> str:
        """A job of which each message was delivered, opened and clicked, and all the rest that may be kept."""
        job = await self.job(total, **fields)
        p = ids.job_partition(job, P)
        await self.happen(*(events.Delivered(**about(job, n, "delivered")) for n in range(total)))
        await self.happen(*(events.Opened(**about(job, n, "opened")) for n in range(total)))
        await self.happen(*(events.Clicked(**about(job, n, "clicked"), position=n % 3) for n in range(total)))
        figures = FigureStore(self.client, P)
        await figures.count(p, [Seen("acme", job, 0, Saw.INVALID, 1)])
        await figures.count_renderings(p, [Rendered("acme", job, 0, False)])
        await self.client.setrange(keys.job_begun(p, job), 0, b"\1")
        resumed = Stop(COMPLAINT_RATE, "acme", MADE_MS, "engine")
        await StopList(self.client).add(stops.of_job(job), resumed)
        await StopList(self.client).resume(stops.of_job(job), resumed)
        return job

    async def kept(self, job: str) -> list[str]:
        """Every key that has the job in its name, and what has it in itself; but for what ends by itself."""
        p = ids.job_partition(job, P)
        nodes = self.client.get_primaries() if hasattr(self.client, "get_primaries") else [None]
        found: list[str] = []
        for node in nodes:
            more = {"target_nodes": node} if node is not None else {}
            found += [key.decode() for key in await self.client.keys(f"*{job}*", **more)]
        for key in (keys.jobs(p), keys.tenant_jobs(p, "acme"), keys.ended_jobs(p), keys.unended_jobs(p)):
            found += [key] if await self.client.zscore(key, job) is not None else []
        for key, field in ((keys.removals(p), job), (keys.resumes(), stops.of_job(job))):
            found += [key] if await self.client.hexists(key, field) else []
        return found

    async def pass_by(self, now_ms: int) -> int:
        self.now_ms = now_ms
        return await self.retention.sweep()


def about(job: str, ordinal: int, word: str, **more: Any) -> dict[str, Any]:
    return events.about_message("acme", job, ordinal, MADE_MS + 1_000, word) | more


@pytest.fixture
def house(client: Any) -> House:
    return House(client)


def metric(name: str) -> float:
    return REGISTRY.get_sample_value(name) or 0.0


async def test_a_job_that_has_ended_is_removed_after_its_retention_with_all_that_was_kept(house: House) -> None:
    job = await house.ended(100)
    before = metric("estafette_reports_removed_jobs_total")

    gone = [await house.pass_by(at) for at in (MADE_MS, SEEN_MS, GONE_MS - 1)]
    kept = await house.kept(job)
    gone += [await house.pass_by(GONE_MS), await house.pass_by(GONE_MS + DAY_MS)]

    assert gone == [0, 0, 0, 1, 0]
    assert len(kept) > 15
    assert await house.kept(job) == []
    assert metric("estafette_reports_removed_jobs_total") == before + 1


async def test_a_job_is_kept_until_the_archive_has_what_happened_until_it_was_due(house: House) -> None:
    """Files have addresses that only the job knows."""
    house.retention = Retention(house.client, P, DAYS, lambda: house.now_ms, is_archived=True)
    job = await house.ended()
    p = ids.job_partition(job, P)
    last = (await house.client.xinfo_stream(keys.events(p)))["last-generated-id"].decode()
    last_ms = int(last.partition("-")[0])
    much_later_ms = last_ms + (DAYS + 1) * DAY_MS

    held = [await house.pass_by(at) for at in (last_ms + 1_000, much_later_ms)]
    await house.client.hset(keys.archive(p), "position", last)
    gone = await house.pass_by(much_later_ms)

    assert held == [0, 0]
    assert gone == 1
    assert await house.kept(job) == []


async def test_the_job_is_then_an_unknown_one_in_the_api(house: House) -> None:
    job, other = await house.ended(), await house.job(made_ms=GONE_MS)
    for at in (SEEN_MS, GONE_MS):
        await house.pass_by(at)
    reader = ReportReader(house.client, P)
    jobs = JobList(reader, StopList(house.client), Cancels(CancelList(house.client)))

    tenants = Tenants(house.client)
    await tenants.create("acme")
    _, key = await tenants.create_key("acme", ["read"])
    feed = Feed(house.client, P, house.recipients, time.monotonic)
    app = api.application(
        http.routes(reader, feed, Live(feed, 9, 9, time.monotonic), house.recipients, jobs, P),
        tenants,
        max_body_bytes=65_536,
    )
    async with test_utils.TestClient(test_utils.TestServer(app)) as caller:
        headers = {"Authorization": f"Bearer {key}"}
        for path in (f"/v1/jobs/{job}", f"/v1/messages/{job}.0"):
            async with caller.get(path, headers=headers) as answer:
                assert (answer.status, (await answer.json())["type"].rpartition(":")[2][:8]) == (404, "unknown_")
        async with caller.get("/v1/jobs", headers=headers) as answer:
            assert [one["id"] for one in (await answer.json())["jobs"]] == [other]


@pytest.mark.parametrize("start", ["open", "scheduled", "queueing"])
async def test_a_job_that_has_not_ended_is_never_removed(house: House, start: str) -> None:
    job = await house.job(start=start)
    await house.happen(events.Delivered(**about(job, 0, "delivered")))

    gone = [await house.pass_by(SEEN_MS + at * DAYS * DAY_MS) for at in range(4)]

    assert gone == [0, 0, 0, 0]
    assert await ReportReader(house.client, P).job(job) is not None


async def test_its_retention_begins_when_its_last_message_has_its_end(house: House) -> None:
    job = await house.job(2)
    await house.happen(events.Delivered(**about(job, 0, "delivered")))
    late_ms = SEEN_MS + 5 * DAY_MS
    await house.pass_by(SEEN_MS)
    await house.happen(events.Expired(**about(job, 1, "expired")))
    await house.pass_by(late_ms)

    gone = [await house.pass_by(at) for at in (GONE_MS, late_ms + DAYS * DAY_MS - 1, late_ms + DAYS * DAY_MS)]

    assert gone == [0, 0, 1]


async def test_a_job_whose_time_is_not_over_waits_for_that(house: House) -> None:
    job = await house.ended(expires_at_ms=GONE_MS + DAY_MS)
    await house.pass_by(SEEN_MS)

    gone = [await house.pass_by(at) for at in (GONE_MS, GONE_MS + DAY_MS - 1, GONE_MS + DAY_MS)]

    assert gone == [0, 0, 1]
    assert await house.kept(job) == []


async def test_facts_that_come_later_bring_nothing_back_and_who_leaves_is_off(house: House) -> None:
    job = await house.ended()
    for at in (SEEN_MS, GONE_MS):
        await house.pass_by(at)
    orphaned = metric("estafette_reports_orphaned_facts_total")
    unknown = metric("estafette_suppression_unknown_total")
    late: Sequence[events.Fact] = [
        events.Clicked(**about(job, 0, "again"), position=9),
        events.Opened(**about(job, 1, "again")),
        events.Bounced(**about(job, 1, "late"), kind="hard", late=True),
        events.Complained(**about(job, 2, "complained")),
        events.Unsubscribed(**about(job, 2, "left", email="u2@a.test"), by="page"),
    ]

    await house.happen(*late)
    figures = FigureStore(house.client, P)
    await figures.count(ids.job_partition(job, P), [Seen("acme", job, 1, Saw.INVALID, 1)])
    suppression = Suppression(Lists(house.client, P), house.recipients, lambda: house.now_ms)
    for fact in late:
        await suppression.apply(0, [bus.Entry("1-0", type(fact).__name__, events.MAJOR_VERSION, events.encode(fact))])

    assert await house.kept(job) == []
    assert metric("estafette_reports_orphaned_facts_total") == orphaned + len(late)
    assert metric("estafette_suppression_unknown_total") == unknown + 2
    (reason,) = await SuppressionList(house.client, P).check([Asked("acme", "u2@a.test", "email", "bulk", "")])
    assert reason == "unsubscribed"


async def test_who_dies_while_a_job_is_removed_is_gone_on_after(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "TOGETHER", 2)
    job = await house.ended(200)
    await house.pass_by(SEEN_MS)

    class Died(BaseException):
        pass

    class Dies(Retention):
        steps = 0

        async def _step(self, p: int, job: str, left: int, names: list[str]) -> bool:
            self.steps -= 1
            if self.steps == 0:
                raise Died
            return await super()._step(p, job, left, names)

    for deaths in range(1, 30):
        dies = Dies(house.client, P, DAYS, lambda: GONE_MS)
        dies.steps = deaths
        try:
            await dies.sweep()
        except Died:
            assert await ReportReader(house.client, P).job(job) is None
            assert await house.kept(job) != []
        else:
            break

    assert deaths > 5
    assert await house.kept(job) == []


async def test_many_jobs_go_page_by_page_and_others_stay(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "LOOKED_AT", 3)
    old = [await house.ended(1, made_ms=MADE_MS + n) for n in range(20)]
    young = [await house.ended(1, made_ms=GONE_MS - DAY_MS + n) for n in range(5)]
    await house.pass_by(SEEN_MS + 100)

    gone = await house.pass_by(GONE_MS + 100)

    assert gone == len(old)
    left = [name.decode() for p in range(P) for name in await house.client.zrange(keys.tenant_jobs(p, "acme"), 0, -1)]
    assert sorted(left) == sorted(young)


async def test_how_long_jobs_are_overdue_is_told(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    await house.ended()
    await house.pass_by(SEEN_MS)

    async def nothing(self: Retention, p: int) -> int:
        return 0

    monkeypatch.setattr(Retention, "_remove", nothing)
    await house.pass_by(GONE_MS + DAY_MS)

    assert metric("estafette_reports_overdue_job_seconds") == DAY_MS / 1000


async def test_a_cancelled_job_ends_as_any_other(house: House) -> None:
    job = await house.job(2)
    await CancelList(house.client).add(cancels.of_job(job), cancels.Cancel("", MADE_MS, "tenant"))
    await house.happen(*(events.Cancelled(**about(job, n, "cancelled"), by="tenant") for n in range(2)))
    await house.pass_by(SEEN_MS)

    assert await house.pass_by(GONE_MS) == 1
    assert await house.kept(job) == []
