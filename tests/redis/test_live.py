"""Live streams of events in a real Redis and a real cluster."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientResponse, test_utils

from services.reports.feed import http, live
from services.reports.feed.feed import Feed
from services.reports.feed.live import Live, taken
from shared.http import api
from shared.redis.recipients import Recipients
from shared.redis.tenants import Tenants
from shared.words import events
from tests.feeds import catch_up
from tests.redis.test_feed import JOBS, P, ids_of, opened, publish


class House:
    """The routes, a key of each tenant, and what stops the process."""

    def __init__(self, client: Any, web: Any, keys: dict[str, str], stopping: asyncio.Event) -> None:
        self.client, self.web, self.keys, self.stopping = client, web, keys, stopping

    async def follow(self, tenant: str = "acme", seen: str = "", **query: Any) -> ClientResponse:
        headers = {"Authorization": f"Bearer {self.keys[tenant]}"} | ({"Last-Event-ID": seen} if seen else {})
        answer: ClientResponse = await self.web.get("/v1/events/live", params=query, headers=headers)
        return answer

    async def happen(self, *facts: events.Fact) -> None:
        await publish(self.client, *facts)
        await catch_up(self.client, P)


@pytest.fixture
async def house(client: Any, monkeypatch: Any) -> AsyncIterator[House]:
    monkeypatch.setattr(live, "LOOK_S", 0.01)
    tenants = Tenants(client)
    made = {}
    for tenant in ("acme", "other"):
        await tenants.create(tenant)
        made[tenant] = (await tenants.create_key(tenant, ["read"]))[1]
    feed = Feed(client, P, Recipients(client, P), asyncio.get_running_loop().time)
    streams = Live(feed, 3, 2, asyncio.get_running_loop().time)
    stopping = asyncio.Event()
    beside = asyncio.create_task(streams.run(stopping))
    app = api.application(http.routes(feed, streams, P), tenants, max_body_bytes=10_000)
    async with test_utils.TestClient(test_utils.TestServer(app)) as web:
        yield House(client, web, made, stopping)
        stopping.set()
        await beside


async def told(answer: ClientResponse, number: int) -> list[dict[str, str]]:
    """The next so many events, each by its fields."""
    found: list[dict[str, str]] = []
    event: dict[str, str] = {}
    while len(found) < number:
        line = (await asyncio.wait_for(answer.content.readline(), 10)).decode().rstrip("\n")
        if line:
            name, _, value = line.partition(": ")
            event[name] = value
        else:
            found += [event] if "data" in event else []
            event = {}
    return found


async def test_what_happens_is_told_at_once_and_only_to_its_tenant(house: House) -> None:
    await house.happen(opened(JOBS[0], 1))
    answer = await house.follow()

    await house.happen(opened(JOBS[1], 2, "other"), opened(JOBS[2], 3))
    (event,) = await told(answer, 1)

    assert answer.content_type == "text/event-stream"
    assert (event["event"], ids_of(opened(JOBS[2], 3))[0] in event["data"]) == ("message.opened", True)
    answer.close()


async def test_who_comes_back_goes_on_behind_what_they_saw_last(house: House) -> None:
    first = await house.follow()
    await house.happen(opened(JOBS[0], 1))
    (seen,) = await told(first, 1)
    first.close()
    await house.happen(opened(JOBS[1], 2), opened(JOBS[2], 3))

    second = await house.follow(seen=seen["id"])
    found = await told(second, 2)

    assert [opened(JOBS[at], at + 1).event_id in event["data"] for at, event in ((1, found[0]), (2, found[1]))] == [
        True
    ] * 2
    second.close()


async def test_a_stream_is_filtered_as_a_page_is_and_its_id_goes_on_where_nothing_comes(
    house: House, monkeypatch: Any
) -> None:
    monkeypatch.setattr(live, "HEARTBEAT_S", 0.0)
    answer = await house.follow(type="message.clicked")
    await house.happen(opened(JOBS[0], 1))

    lines = [(await asyncio.wait_for(answer.content.readline(), 10)).decode() for _ in range(20)]

    assert lines[0].startswith("retry: ")
    assert not [line for line in lines if line.startswith("data")]
    assert len({line for line in lines if line.startswith("id: ")}) >= 1
    answer.close()


async def test_there_are_so_many_streams_of_a_tenant_and_so_many_of_all(house: House) -> None:
    streams = [await house.follow() for _ in range(2)]
    of_acme = await house.follow()
    streams.append(await house.follow("other"))
    of_other = await house.follow("other")

    for refused in (of_acme, of_other):
        assert (refused.status, refused.headers["Retry-After"]) == (429, "5")
        assert (await refused.json())["type"].endswith(":too_many_streams")
    for one in streams:
        assert one.status == 200
        one.close()


async def test_streams_end_when_the_process_stops(house: House) -> None:
    answer = await house.follow()

    house.stopping.set()

    await asyncio.wait_for(answer.read(), 10)
    assert answer.status == 200


async def test_who_does_not_read_is_dropped(monkeypatch: Any) -> None:
    monkeypatch.setattr(live, "SLOW_S", 0.01)

    async def never(_: bytes) -> None:
        await asyncio.Event().wait()

    async def at_once(_: bytes) -> None:
        return

    assert not await taken(never, b"x")
    assert await taken(at_once, b"x")


async def test_head_ends_and_what_is_no_cursor_is_refused(house: House) -> None:
    headers = {"Authorization": f"Bearer {house.keys['acme']}"}

    async with house.web.head("/v1/events/live", headers=headers) as answer:
        assert answer.status == 200
    refused = await house.follow(seen="nonsense")

    assert refused.status == 422
    assert (await refused.json())["faults"][0]["at"] == "Last-Event-ID"
