"""Links to a report through HTTP: who has one sees that report until it is over, or taken back."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import test_utils

from services.queueing.store import JobStore
from services.reports import report_links_http
from services.reports.job_list import JobList
from services.reports.report_link_store import MOST, ReportLinks
from services.reports.report_links import LinkTokens
from services.reports.statistics import StatisticsReader
from services.reports.store import ReportReader
from shared.http import api
from shared.redis import keys, redis
from shared.redis.cancels import CancelList, Cancels
from shared.redis.stops import StopList
from shared.redis.tenants import Tenants
from shared.words import content, ids
from shared.words.times import rfc3339
from tests.jobs import compile_job, new_job

PARTITIONS = 4
#: Ahead of the server's own clock, by which keys are over.
NOW_MS = 1_990_000_000_000
DAY_MS = 86_400_000


class House:
    def __init__(self, client: redis.Client) -> None:
        self.client = client
        self.now_ms = NOW_MS
        self.http: test_utils.TestClient[Any, Any]
        self.keys: dict[str, str] = {}
        self.job = ids.new_job_id(NOW_MS - 1000, b"chance", PARTITIONS)

    async def call(self, method: str, path: str, body: object = None, key: str = "acme") -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {self.keys[key]}"} if key else {}
        async with self.http.request(method, path, json=body, headers=headers) as answer:
            return answer.status, (await answer.json(content_type=None) if answer.status != 204 else None)

    @property
    def links(self) -> str:
        return f"/v1/jobs/{self.job}/report-links"

    async def made(self, **wanted: Any) -> Any:
        status, link = await self.call("POST", self.links, wanted)
        assert status == 201, link
        return link

    async def shown(self, link: Any) -> tuple[int, Any]:
        token = link["path"].removeprefix("/r/")
        return await self.call("GET", f"/r/{token}/report", key="")


@pytest.fixture
async def house(client: redis.Client) -> AsyncIterator[House]:
    house = House(client)
    tenants = Tenants(client)
    for name, scopes in (("acme", ["send", "read"]), ("other", ["send", "read"])):
        await tenants.create(name)
        house.keys[name] = (await tenants.create_key(name, scopes))[1]
    house.keys["reader"] = (await tenants.create_key("acme", ["read"]))[1]
    compiled = compile_job(subject="Soldes", text="Bonjour")
    assert isinstance(compiled, content.CompiledContent)
    job = new_job(tenant="acme", subject="Soldes", total=0, content=content.encode(compiled))
    await JobStore(client, PARTITIONS, 1_000).store(house.job, job, [], "queueing")
    reader = ReportReader(client, PARTITIONS)
    chance = iter(range(1, 1000))
    routes = report_links_http.routes(
        reader,
        JobList(reader, StopList(client), Cancels(CancelList(client))),
        ReportLinks(client, PARTITIONS),
        LinkTokens([b"k" * 32]),
        StatisticsReader(client, PARTITIONS, lambda: house.now_ms),
        lambda: house.now_ms,
        lambda size: next(chance).to_bytes(size, "big"),
    )
    app = api.application(routes, tenants, max_body_bytes=10_000)
    async with test_utils.TestClient(test_utils.TestServer(app)) as house.http:
        yield house


async def test_who_has_a_link_sees_the_report_of_that_job_without_a_key(house: House) -> None:
    link = await house.made(days=7, note="for the board")

    status, shown = await house.shown(link)

    assert status == 200, shown
    assert (shown["report"]["id"], shown["report"]["subject"]) == (house.job, "Soldes")
    assert (shown["statistics"]["job"], shown["statistics"]["hours"]) == (house.job, [])
    assert shown["expires_at"] == link["expires_at"] == rfc3339(NOW_MS + 7 * DAY_MS)
    assert await house.call("GET", house.links) == (200, {"links": [link]})


async def test_a_link_leads_nowhere_once_it_is_over_or_taken_back(house: House) -> None:
    short, long = await house.made(days=1), await house.made(days=2)
    assert (await house.call("DELETE", f"{house.links}/{long['id']}"))[0] == 204
    assert (await house.shown(long))[0] == 404
    assert (await house.call("DELETE", f"{house.links}/{long['id']}"))[0] == 404
    assert (await house.shown(short))[0] == 200

    house.now_ms += DAY_MS

    status, problem = await house.shown(short)
    assert (status, problem["type"]) == (404, "urn:estafette:problem:unknown_report_link")
    assert await house.call("GET", house.links) == (200, {"links": []})


async def test_links_are_made_seen_and_taken_back_by_their_tenant_alone(house: House) -> None:
    link = await house.made()

    for method, path in (("POST", house.links), ("GET", house.links), ("DELETE", f"{house.links}/{link['id']}")):
        status, problem = await house.call(method, path, key="other")
        assert (status, problem["type"]) == (404, "urn:estafette:problem:unknown_job")
        assert (await house.call(method, path, key="reader"))[0] == 403
    assert (await house.shown(link))[0] == 200


@pytest.mark.parametrize("body", [{"days": 0}, {"days": 366}, {"days": "7"}, {"note": "x" * 201}, {"other": 1}])
async def test_what_does_not_fit_is_told_so(house: House, body: dict[str, Any]) -> None:
    assert (await house.call("POST", house.links, body))[0] == 422


async def test_a_made_up_link_leads_nowhere(house: House) -> None:
    for token in ("x", "A" * 66, "%00", "A" * 500):
        assert (await house.call("GET", f"/r/{token}/report", key=""))[0] == 404
    for link in ("x", "00", "0" * 16):
        assert (await house.call("DELETE", f"{house.links}/{link}"))[0] == 404


async def test_a_job_has_only_so_many_links_and_those_that_are_over_make_room(house: House) -> None:
    for _ in range(MOST):
        await house.made(days=1)
    status, problem = await house.call("POST", house.links, {"days": 1})
    assert (status, problem["type"]) == (409, "urn:estafette:problem:too_many_report_links")

    house.now_ms += DAY_MS

    await house.made(days=1)


async def test_links_are_kept_as_long_as_the_last_of_them_holds(house: House) -> None:
    await house.made(days=2)
    await house.made(days=1)
    partition = ids.job_partition(house.job, PARTITIONS)

    over_ms = await house.client.eval("return redis.call('PTTL', KEYS[1])", 1, keys.report_links(partition, house.job))

    assert over_ms > DAY_MS
