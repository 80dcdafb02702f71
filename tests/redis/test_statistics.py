"""Statistics in a real Redis and a real cluster: what a plain count says, and what is shown of it over HTTP."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
import structlog
from aiohttp import test_utils
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from loadtests import statistics as generated
from loadtests.counting import Model
from services.reports import statistics_http
from services.reports.cells import MOST_GROUPS
from services.reports.folding import Folding
from services.reports.job_list import JobList
from services.reports.reports import Reports
from services.reports.statistics import StatisticsReader
from services.reports.store import ReportReader, ReportStore
from shared.http import api
from shared.redis import bus, keys, redis
from shared.redis.cancels import CancelList, Cancels
from shared.redis.statistics import OTHER_GROUP, OTHERS, names_of, of_day, of_job
from shared.redis.stops import StopList
from shared.redis.tenants import Tenants
from shared.words import events, ids

PARTITIONS = generated.PARTITIONS
JOBS = generated.job_names()
HOUR_MS = 3_600_000
BORN_MS = generated.BORN_MS
DAY = BORN_MS // (24 * HOUR_MS)


def new_model() -> Model:
    return Model({job: generated.job_fields(at) for at, job in enumerate(JOBS)}, generated.LATE)


async def read(client: Any, p: int, position: str = ">", count: int = 50) -> list[bus.Entry]:
    found = await client.xreadgroup(keys.GROUP_REPORTS, "one", {keys.events(p): position}, count=count)
    return [bus.entry(number, held) for _, entries in found or () for number, held in entries]


async def count(client: Any, *facts: events.Fact) -> Folding:
    """Published, counted and put away."""
    await generated.put(client, facts)
    reports = Reports(ReportStore(client, late=generated.LATE), lambda: 0)
    for p in range(PARTITIONS):
        while entries := await read(client, p):
            await reports.count(p, entries)
    folding = Folding(client, PARTITIONS, 92)
    await generated.fold_all(folding, PARTITIONS)
    return folding


def about(job: int, ordinal: int, event: object, after_ms: int = 0, tenant: str = "acme") -> events.About:
    return events.about_message(tenant, JOBS[job], ordinal, BORN_MS + after_ms, event)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32), number=st.integers(0, 120), messages=st.integers(1, 4))
async def test_statistics_are_what_a_plain_count_says_under_any_batching_repeat_and_crash(
    redis_url: str, seed: int, number: int, messages: int
) -> None:
    """A batch may be lost on the way (and is read again), be applied and its answer lost (and is applied again); the
    same when it is put away."""
    client: Any = redis.connect(redis_url)
    await client.flushall()
    await generated.prepare(client)
    chance, model = random.Random(seed), new_model()
    reports = Reports(ReportStore(client, late=generated.LATE), lambda: 0)
    await generated.put(client, list(generated.generated(number, chance, messages)))

    for p in range(PARTITIONS):
        while True:
            entries = await read(client, p, count=chance.randint(1, 40)) or await read(client, p, "0")
            if not entries:
                break
            if chance.random() < 0.3:
                entries = await read(client, p, "0")  # the reader died, and begins with what it had in hand
            for _ in range(1 + (chance.random() < 0.3)):
                await reports.count(p, entries)
            if chance.random() < 0.3:
                await Folding(client, PARTITIONS, 92).fold(p)
        for stream_id, held in await client.xrange(keys.events(p)):
            entry = bus.entry(stream_id, held)
            model.count(entry.message(), entry.written_ms)
    await generated.fold_all(Folding(client, PARTITIONS, 92), PARTITIONS)
    wrong = await generated.differences(client, model)
    await redis.close(client)

    assert wrong == []


async def test_what_two_put_away_at_the_same_time_counts_once(client: Any) -> None:
    await generated.prepare(client)
    await count(client, events.Accepted(**about(0, 0, "a"), site="gmail"))
    await generated.put(client, [events.Accepted(**about(0, 1, "b"), site="gmail")])
    await Reports(ReportStore(client), lambda: 0).count(0, await read(client, 0))
    waiting = await client.lrange(keys.statistics_waiting(0), 0, -1)

    await Folding(client, PARTITIONS, 92).fold(0)
    await client.rpush(keys.statistics_waiting(0), *waiting)
    await client.set(keys.statistics_folded(0), 1)
    slow = Folding(client, PARTITIONS, 92)
    await client.set(keys.statistics_folded(0), 7)
    original = slow._hashes

    async def meanwhile(p: int, numbers: Any) -> Any:
        found = await original(p, numbers)
        await client.incr(keys.statistics_folded(0))
        return found

    slow._hashes = meanwhile  # type: ignore[method-assign]
    await slow.fold(0)

    stored = of_job(await client.hgetall(keys.job_statistics(0, JOBS[0])), {})
    assert sum(stored.hours.values()) == 2
    assert await client.llen(keys.statistics_waiting(0)) == 1


async def test_where_one_partition_cannot_be_folded_the_others_are_and_it_is_told(client: Any) -> None:
    await generated.prepare(client)
    job = next(at for at, name in enumerate(JOBS) if ids.job_partition(name, PARTITIONS) == 1)
    await generated.put(client, [events.Accepted(**about(job, 0, "a"), site="gmail")])
    await Reports(ReportStore(client), lambda: 0).count(1, await read(client, 1))
    await client.set(keys.statistics_waiting(0), "no list")
    stopping = asyncio.Event()

    with structlog.testing.capture_logs() as logged:
        folding = asyncio.create_task(Folding(client, PARTITIONS, 92).run(stopping))
        while await client.exists(keys.statistics_waiting(1)):  # noqa: ASYNC110 - another task's, in Redis
            await asyncio.sleep(0.01)
        stopping.set()
        await folding

    assert [(line["event"], line["partition"]) for line in logged][:1] == [("folding_failed", 0)]
    assert REGISTRY.get_sample_value("estafette_reports_waiting_batches") == 1
    assert await client.exists(keys.job_statistics(1, JOBS[job]))


async def test_a_day_is_kept_for_as_long_as_the_setting_says_and_a_job_as_long_as_it(client: Any) -> None:
    await generated.prepare(client)
    await count(client, events.Accepted(**about(0, 0, "a"), site="gmail"))

    ends_ms = await client.pexpiretime(keys.statistics(0, "acme", DAY))

    assert ends_ms == (DAY + 1 + 92) * 24 * HOUR_MS
    assert await client.pttl(keys.job_statistics(0, JOBS[0])) == -1


async def test_of_a_job_that_is_not_kept_any_more_nothing_is_put_away(client: Any) -> None:
    await generated.prepare(client)
    await generated.put(client, [events.Accepted(**about(0, 0, "a"), site="gmail")])
    await Reports(ReportStore(client), lambda: 0).count(0, await read(client, 0))
    await client.delete(keys.job(0, JOBS[0]))

    await generated.fold_all(Folding(client, PARTITIONS, 92), PARTITIONS)

    assert not await client.exists(keys.job_statistics(0, JOBS[0]))
    assert not await client.exists(keys.statistics(0, "acme", DAY))
    assert await client.llen(keys.statistics_waiting(0)) == 0


async def test_names_and_groups_beyond_what_is_kept_are_counted_together(client: Any) -> None:
    await generated.prepare(client)
    delivered = [
        events.Delivered(**about(0, at, "d"), site="gmail", source=f"192.0.2.{at}" if at < 200 else f"10.0.0.{at}")
        for at in range(300)
    ]
    await client.hset(keys.statistics(0, "acme", DAY), "#", MOST_GROUPS)

    await count(client, *delivered)

    names = names_of(await client.hgetall(keys.statistics_names(0)))
    found = of_job(await client.hgetall(keys.job_statistics(0, JOBS[0])), names)
    assert len(names["s"]) == 254
    assert found.places[4, "gmail", "other"] == 300 - 254
    kept = await client.hgetall(keys.statistics(0, "acme", DAY))
    day = of_day(kept, names, DAY)
    assert {group for group, _, _ in day.hours} == {OTHERS}
    assert any(field[1:3] == OTHER_GROUP.to_bytes(2, "big") for field in kept if field[0:1] == b"h")


async def test_there_is_nothing_where_the_setting_says_so(client: Any) -> None:
    await generated.prepare(client)
    await generated.put(client, [events.Accepted(**about(0, 0, "a"), site="gmail")])

    await Reports(ReportStore(client, has_statistics=False), lambda: 0).count(0, await read(client, 0))

    assert not await client.exists(keys.statistics_waiting(0), keys.statistics_names(0))


async def test_nothing_that_is_kept_has_an_address(client: Any) -> None:
    await generated.prepare(client)
    about_one = about(0, 0, "a") | {"email": "ana@exemple.fr"}
    await count(client, events.Bounced(**about_one, site="gmail", kind="hard", reason="ana@exemple.fr is unknown"))

    for key in (keys.job_statistics(0, JOBS[0]), keys.statistics(0, "acme", DAY), keys.statistics_names(0)):
        stored = await client.hgetall(key)
        assert stored
        assert not any(b"ana" in name for name in stored)


@pytest.fixture
async def site(client: Any) -> AsyncIterator[Any]:
    """Calls as `acme`, or as another by its name; now is three days after the jobs were made."""
    await generated.prepare(client)
    tenants = Tenants(client)
    made: dict[str, str] = {}
    for tenant in ("acme", "other"):
        await tenants.create(tenant)
        made[tenant] = (await tenants.create_key(tenant, ["read"]))[1]
    reader = ReportReader(client, PARTITIONS)
    jobs = JobList(reader, StopList(client), Cancels(CancelList(client)))
    statistics = StatisticsReader(client, PARTITIONS, lambda: BORN_MS + 73 * HOUR_MS)
    app = api.application(statistics_http.routes(statistics, reader, jobs), tenants, max_body_bytes=10_000)
    async with test_utils.TestClient(test_utils.TestServer(app)) as web:

        async def call(path: str, caller: str = "acme", **query: Any) -> tuple[int, Any]:
            headers = {"Authorization": f"Bearer {made[caller]}"}
            async with web.get(path, params=query, headers=headers) as answer:
                return answer.status, await answer.json(content_type=None)

        yield call


BY = ["hour", "day", "list", "tag", "category", "stream", "domain", "provider", "source", "device", "client", "reason"]
IPHONE, CHROME = generated.AGENTS[:2]


async def some(client: Any) -> None:
    await count(
        client,
        events.Accepted(**about(0, 0, "a"), site="gmail"),
        events.Accepted(**about(0, 1, "a"), site="mx.exemple.fr"),
        events.Delivered(**about(0, 0, "d", 1000), site="gmail", source="192.0.2.1"),
        events.Bounced(
            **about(0, 1, "b", HOUR_MS), site="mx.exemple.fr", source="192.0.2.2", kind="hard", reason="unknown_user"
        ),
        events.Opened(**about(0, 0, "o", 2 * HOUR_MS), user_agent=IPHONE),
        events.Opened(**about(0, 0, "m", 2 * HOUR_MS), user_agent=CHROME, machine="prefetch"),
        events.Clicked(**about(0, 0, "c", 2 * HOUR_MS), user_agent=IPHONE, position=0),
        events.Accepted(**about(1, 0, "a", 30 * HOUR_MS), site="gmail"),
    )


@pytest.mark.parametrize("by", BY)
@pytest.mark.parametrize("interval", ["none", "day"])
async def test_the_rows_add_up_to_what_there_is(client: Any, site: Any, by: str, interval: str) -> None:
    await some(client)

    status, answer = await site("/v1/statistics", by=by, interval=interval)

    assert status == 200, answer
    total = answer["total"]["counts"]
    assert (total["accepted"], total["delivered"], total["bounced"]["hard"], total["opens"]["unique"]) == (3, 1, 1, 1)
    if by not in ("tag", "device", "client", "reason"):
        assert sum(row["counts"]["accepted"] for row in answer["rows"]) == 3
        assert sum(row["counts"]["delivered"] for row in answer["rows"]) == 1
    assert (interval == "none" and by not in ("hour", "day")) == all(row["time"] is None for row in answer["rows"])


async def rows(site: Any, **query: str) -> dict[Any, Any]:
    status, answer = await site("/v1/statistics", **query)
    assert status == 200, answer
    return {row["key"]: row for row in answer["rows"]}


async def test_each_fact_is_in_the_rows_that_it_belongs_to(client: Any, site: Any) -> None:
    await some(client)

    assert set(await rows(site, by="list")) == {"newsletter"}
    assert set(await rows(site, by="tag")) == {"soldes", "hiver"}
    assert set(await rows(site, by="domain")) == {"exemple.fr", "example.org"}
    assert set(await rows(site, by="domain", stream="bulk")) == {"exemple.fr"}
    by_provider = await rows(site, by="provider", tag="hiver")
    assert by_provider["gmail"]["counts"]["clicks"]["unique"] == 1
    assert by_provider["gmail"]["rates"]["opened"] == 1.0
    assert by_provider["other"]["counts"]["bounced"]["hard"] == 1
    assert by_provider["other"]["rates"] | {"bounced": 1, "invalid": 1, "delivered": 0} == {
        "delivered": 0, "bounced": 1, "invalid": 1, "opened": None, "clicked": None, "click_to_open": None,
        "complained": None, "unsubscribed": None,
    }  # fmt: skip
    assert (await rows(site, by="source"))["192.0.2.1"]["counts"]["delivered"] == 1
    assert (await rows(site, by="device"))["mobile"]["counts"]["opens"]["unique"] == 1
    assert (await rows(site, by="client"))["apple_mail"]["counts"]["clicks"]["total"] == 1
    assert (await rows(site, by="reason"))["unknown_user"]["counts"]["bounced"]["total"] == 1
    seen = (await rows(site, by="stream"))["bulk"]["counts"]["opens"]
    assert (seen["unique"], seen["machine"]["unique"], seen["raw"]) == (1, 1, {"unique": 1, "total": 2})


async def test_a_time_counts_by_whole_hours(client: Any, site: Any) -> None:
    await some(client)

    def at(hour: int) -> str:
        return datetime.fromtimestamp((BORN_MS + hour * HOUR_MS) / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    status, answer = await site("/v1/statistics", **{"by": "hour", "from": at(1), "to": at(3)})

    assert status == 200
    assert [row["time"][:13] for row in answer["rows"]] == [at(1)[:13], at(2)[:13]]
    assert answer["total"]["counts"]["accepted"] == 0
    assert (answer["from"][:19] + "Z", answer["to"][:19] + "Z") == (at(1), at(3))


@pytest.mark.parametrize(
    ("query", "at"),
    [
        ({"from": "2026-02-01T00:00:00Z", "to": "2026-01-01T00:00:00Z"}, "?from"),
        ({"from": "2025-01-01T00:00:00Z", "to": "2026-01-01T00:00:00Z"}, "?from"),
        ({"from": "yesterday"}, "?from"),
        ({"by": "shoe_size"}, "?by"),
        ({"by": "device", "interval": "hour"}, "?interval"),
        ({"by": "provider", "interval": "hour", "list": "newsletter"}, "?interval"),
    ],
)
async def test_what_cannot_be_told_is_refused_by_name(site: Any, query: dict[str, str], at: str) -> None:
    status, problem = await site("/v1/statistics", **query)

    assert status == 422
    assert [fault["at"] for fault in problem["faults"]] == [at]


async def test_nobody_learns_of_anothers_numbers(client: Any, site: Any) -> None:
    await some(client)

    assert (await site("/v1/statistics", caller="other"))[1]["rows"] == []
    assert (await site(f"/v1/jobs/{JOBS[0]}/statistics", caller="other"))[0] == 404
    assert (await site("/v1/jobs/nonsense/statistics"))[0] == 404


async def test_a_job_shows_its_hours_and_what_tells_its_messages_apart(client: Any, site: Any) -> None:
    await some(client)

    status, shown = await site(f"/v1/jobs/{JOBS[0]}/statistics")

    assert status == 200
    assert [hour["counts"]["opens"]["unique"] for hour in shown["hours"]] == [0, 0, 1]
    assert [(step["step"], step["messages"]) for step in shown["funnel"]] == [
        ("recipients", 50_000), ("accepted", 2), ("delivered", 1), ("opened", 1), ("clicked", 1),
    ]  # fmt: skip
    assert [one["name"] for one in shown["providers"]] == ["gmail", "other"]
    assert [one["name"] for one in shown["sources"]] == ["192.0.2.1", "192.0.2.2", None]
    assert [one["name"] for one in shown["devices"]] == ["desktop", "mobile"]
    assert shown["reasons"] == [{"type": "message.bounced", "reason": "unknown_user", "total": 1}]


async def test_sums_of_a_job_are_those_of_its_report(client: Any, site: Any) -> None:
    chance = random.Random(5)
    await count(client, *generated.generated(600, chance, 20))

    for job in JOBS:
        _, shown = await site(f"/v1/jobs/{job}/statistics")
        counters = {name: int(value) for name, value in (await ReportReader(client, PARTITIONS).counts(job)).items()}
        implied = counters.get("implied_opens:unique", 0)
        counts = shown["counts"]
        assert counts["opens"]["unique"] == counters.get("opens:unique", 0) + implied
        assert counts["opens"]["total"] == counters.get("opens:total", 0) + implied
        assert counts["clicks"]["machine"]["total"] == counters.get("machine_clicks:total", 0)
        for name, kind in (("clicks", "clicks"), ("documents", "documents"), ("complaints", "complaints")):
            told = Counter(unique=counters.get(f"{kind}:unique", 0), total=counters.get(f"{kind}:total", 0))
            assert Counter({key: counts[name][key] for key in ("unique", "total")}) == told
        p = ids.job_partition(job, PARTITIONS)
        bits = [await client.get(keys.job_bitmap(p, job, name)) for name in ("clicks", "machine_clicks")]
        union = int.from_bytes(bits[0] or b"", "little") | int.from_bytes(bits[1] or b"", "little")
        assert counts["clicks"]["raw"]["unique"] == union.bit_count()
        delivered = sum(number for name, number in counters.items() if name in ("state:2", "state:130"))
        assert counts["delivered"] - counts["bounced"]["late"] == delivered


async def test_a_click_that_is_found_to_be_a_machines_later_leaves_its_hour(client: Any, site: Any) -> None:
    await count(client, events.Clicked(**about(0, 0, "c", HOUR_MS), user_agent=CHROME, position=0))
    before = (await site(f"/v1/jobs/{JOBS[0]}/statistics"))[1]["counts"]

    await count(client, events.Delivered(**about(0, 0, "d", HOUR_MS), site="gmail", source="192.0.2.1"))

    after = (await site(f"/v1/jobs/{JOBS[0]}/statistics"))[1]
    assert (before["clicks"]["unique"], before["opens"]["unique"]) == (1, 1)
    assert (after["counts"]["clicks"]["unique"], after["counts"]["opens"]["unique"]) == (0, 0)
    assert after["counts"]["clicks"]["machine"] == {"unique": 1, "total": 1}
    assert after["counts"]["clicks"]["raw"] == {"unique": 1, "total": 1}
    assert all(hour["counts"]["clicks"]["unique"] == 0 for hour in after["hours"])


def test_the_routes_describe_themselves() -> None:
    unused: Any = None
    document = api.openapi(statistics_http.routes(unused, unused, unused))

    assert set(document["paths"]) == {"/v1/statistics", "/v1/jobs/{job}/statistics"}
    names = [one["name"] for one in document["paths"]["/v1/statistics"]["get"]["parameters"]]
    assert names[:2] == ["from", "to"]
