"""What tenants used, in a real Redis and a real cluster: each thing once, whatever is repeated, and who may see it."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from aiohttp import test_utils

from loadtests import statistics as generated
from services.http.calls import Calls
from services.reports import usage_http
from services.reports.folding import Folding
from services.reports.metering import Metering
from services.reports.reports import Reports
from services.reports.store import ReportStore
from services.reports.usage import UsageReader
from shared.http import api
from shared.redis import keys, usage
from shared.redis.tenants import Tenants
from shared.redis.usage import DAY_MS, KEPT_DAYS, Used
from shared.words import events, ids
from tests.redis.test_statistics import BORN_MS, DAY, JOBS, PARTITIONS, about, read

TEST_JOB = len(JOBS) - 1
NOW_MS = BORN_MS + 3 * DAY_MS
TODAY = NOW_MS // DAY_MS


async def put_away(client: Any, *facts: events.Fact, days: int = 92) -> None:
    await generated.put(client, facts)
    for p in range(PARTITIONS):
        while entries := await read(client, p):
            for _ in range(2):  # the answer was lost, and it is counted again
                await Reports(ReportStore(client), lambda: 0).count(p, entries)
    await generated.fold_all(Folding(client, PARTITIONS, days), PARTITIONS)


async def used(client: Any, tenant: str = "acme") -> Mapping[int, Used]:
    return await usage.read(client, PARTITIONS, tenant, DAY - 1, DAY + 9)


@pytest.mark.parametrize("days", [92, 0], ids=["with statistics", "without them"])
async def test_a_mail_counts_once_on_its_day_however_often_it_is_told(client: Any, days: int) -> None:
    await generated.prepare(client)
    told = [
        events.Accepted(**about(0, 0, "a"), site="gmail"),
        events.Accepted(**about(1, 0, "b"), site="gmail"),
        events.Delivered(**about(0, 0, "c", DAY_MS), site="gmail", reply="250 ok"),
        events.Delivered(**about(0, 0, "c", DAY_MS), site="gmail", reply="250 ok"),
        events.Suppressed(**about(0, 1, "d"), reason="unsubscribed"),
        events.Accepted(**about(TEST_JOB, 0, "e"), site="gmail"),
    ]

    await put_away(client, *told, days=days)

    assert await used(client) == {DAY: Used(accepted=2), DAY + 1: Used(delivered=1)}
    place = keys.usage(ids.job_partition(JOBS[0], PARTITIONS), "acme", usage.window_of(DAY))
    assert await client.pexpiretime(place) >= (DAY + KEPT_DAYS) * DAY_MS


async def test_calls_that_may_have_been_added_are_added_once(client: Any) -> None:
    calls = Calls(client, PARTITIONS, "one", lambda: NOW_MS)
    other = Calls(client, PARTITIONS, "other", lambda: NOW_MS)
    for _ in range(3):
        calls.count("acme")
    calls.count("zeta")
    await calls.flush()
    calls.count("acme")
    other.count("acme")
    await calls.flush()
    await other.flush()
    await calls.flush()
    p = ids.name_partition("acme", PARTITIONS)

    await usage.count_calls(client, p, "one", 1, {("acme", TODAY): 3})

    assert await usage.read(client, PARTITIONS, "acme", TODAY, TODAY) == {TODAY: Used(calls=5)}
    assert await usage.read(client, PARTITIONS, "zeta", TODAY, TODAY) == {TODAY: Used(calls=1)}


async def test_of_what_is_kept_the_most_of_a_day_is_remembered(client: Any) -> None:
    await Tenants(client).create("acme")
    hour = NOW_MS // 3_600_000
    metering = Metering(client, PARTITIONS, lambda: NOW_MS)
    await client.hset(keys.use(0, "acme"), mapping={"bytes": 700, f"content:{hour}": 50, f"content:{hour - 25}": 9_000})
    await client.hset(keys.use(1, "acme"), mapping={"bytes": 250, "open_jobs": 4, f"keys:{hour}": 3})

    await metering.read()
    await client.hset(keys.use(0, "acme"), "bytes", 1)
    await metering.read()

    assert await usage.read(client, PARTITIONS, "acme", TODAY, TODAY) == {TODAY: Used(bytes=1_000)}


@pytest.fixture
async def server(client: Any) -> AsyncIterator[test_utils.TestClient[Any, Any]]:
    tenants = Tenants(client)
    for name in ("acme", "beta", "zeta"):
        await tenants.create(name)
    reader = UsageReader(client, PARTITIONS, lambda: NOW_MS)
    app = api.application(usage_http.routes(reader, tenants), tenants, max_body_bytes=1_000)
    async with test_utils.TestClient(test_utils.TestServer(app)) as at:
        yield at


async def key(client: Any, tenant: str, scope: str) -> dict[str, str]:
    _, text = await Tenants(client).create_key(tenant, [scope])
    return {"Authorization": f"Bearer {text}"}


async def test_a_tenant_sees_its_own_usage_and_an_operator_that_of_all(
    client: Any, server: test_utils.TestClient[Any, Any]
) -> None:
    await usage.count_calls(client, ids.name_partition("acme", PARTITIONS), "x", 1, {("acme", TODAY): 2})
    await usage.count_calls(client, ids.name_partition("acme", PARTITIONS), "x", 2, {("acme", TODAY - 1): 3})
    await usage.count_calls(client, ids.name_partition("zeta", PARTITIONS), "y", 1, {("zeta", TODAY): 7})
    mine, all_of_them = await key(client, "acme", "read"), await key(client, "zeta", "operator")
    day = UsageReader(client, PARTITIONS, lambda: NOW_MS)
    today = (await day.of_tenants(["acme"], None, None)).until

    shown = await (await server.get("/v1/usage", headers=mine)).json()
    page = await (await server.get("/v1/installation/usage?limit=2", headers=all_of_them)).json()
    rest = await (await server.get(f"/v1/installation/usage?after={page['next']}", headers=all_of_them)).json()
    file = await (await server.get("/v1/installation/usage/export?by=day", headers=all_of_them)).text()

    assert [(one["day"], one["calls"]) for one in shown["days"]][-1] == (today, 2)
    assert shown["total"] == {"accepted": 0, "delivered": 0, "calls": 5, "stored_bytes": 0}
    assert [(one["tenant"], one["total"]["calls"]) for one in page["tenants"]] == [("acme", 5), ("beta", 0)]
    assert [(one["tenant"], one["total"]["calls"]) for one in rest["tenants"]] == [("zeta", 7)]
    assert rest["next"] is None
    assert file.split("\r\n")[0] == "tenant,day,accepted,delivered,calls,stored_bytes"
    assert file.split("\r\n")[2:] == [f"acme,{today},0,0,2,0", f"zeta,{today},0,0,7,0", ""]
    assert (await server.get("/v1/installation/usage", headers=mine)).status == 403


@pytest.mark.parametrize(
    "query", ["since=yesterday&until=2026-02-30", "since=2026-02-02&until=2026-02-01", "since=2020-01-01", "x=1"]
)
async def test_days_that_cannot_be_shown_are_refused(
    client: Any, server: test_utils.TestClient[Any, Any], query: str
) -> None:
    answer = await server.get(f"/v1/usage?{query}", headers=await key(client, "acme", "read"))

    assert answer.status == 422
    faults = (await answer.json())["faults"]
    assert [fault["at"] for fault in faults] == [f"?{part.split('=')[0]}" for part in query.split("&")][: len(faults)]
    assert len(faults) == 1 + ("yesterday" in query)
