"""Quotas of a whole instance: a process killed in the middle leaves true counts, the console gives a tenant its own,
and who is beyond a quota is refused alone."""

import asyncio
from typing import Any

import aiohttp
import pytest

from services.queueing.store import JOB_BYTES
from shared.redis import keys, redis
from tests.flows.stack import Stack, job

pytestmark = pytest.mark.asyncio(loop_scope="module")

PARTITIONS = 4
HOLDS = {"content": {"from": "news@held.test", "subject": "s", "text": "t {{ unsubscribe_url }}"}}


async def test_a_process_killed_in_the_middle_leaves_counts_that_are_those_of_the_data(stack: Stack) -> None:
    killed = asyncio.Event()

    async def opening(number: int) -> None:
        while not killed.is_set():
            try:
                _, opened = await stack.call("POST", "/v1/jobs?state=open", HOLDS["content"])
                lines = b"".join(b'{"email": "%d.%d@x.test"}\n' % (number, n) for n in range(700))
                path = f"/v1/jobs/{opened['id']}/recipients"
                await stack.call("POST", path, data=lines, headers={"Content-Type": "application/x-ndjson"})
                if number % 2:
                    await stack.call("POST", f"/v1/jobs/{opened['id']}/start")
            except (aiohttp.ClientError, KeyError, TypeError):
                continue

    busy = [asyncio.create_task(opening(number)) for number in range(8)]
    await asyncio.sleep(0.3)
    for _ in range(2):
        await stack.killed_and_back("http")
        await stack.killed_and_back("queueing")
    killed.set()
    await asyncio.gather(*busy)

    async def true() -> bool:
        counted, found = await counts(stack)
        return counted == found and counted["waiting"] == 0

    await stack.until(true)
    assert (await counts(stack))[0]["open_jobs"] > 0


async def counts(stack: Stack) -> tuple[dict[str, int], dict[str, int]]:
    """Of the tenant `demo`: what is counted, and what is there."""
    client: Any = redis.connect((stack.directory / "redis.url").read_text().strip())
    counted, found = ({"open_jobs": 0, "bytes": 0, "waiting": 0} for _ in range(2))
    for p in range(PARTITIONS):
        use = await client.hgetall(keys.use(p, "demo"))
        counted["open_jobs"] += int(use.get(b"open_jobs", 0))
        counted["bytes"] += int(use.get(b"bytes", 0))
        for lane in (0, 1):
            counted["waiting"] += int(await client.hget(keys.intake_use(p, lane), "demo") or 0)
            found["waiting"] += await client.xlen(keys.intake(p, lane))
        for name in await client.zrange(keys.open_jobs(p), 0, -1):
            found["open_jobs"] += 1
            one = name.decode()
            # What it is made of stays with it for as long as it can be changed.
            made = [await client.hstrlen(keys.job(p, one), field) for field in ("content", "source")]
            found["bytes"] += sum(made) + JOB_BYTES
            found["bytes"] += sum(map(len, await client.zrange(keys.job_recipients(p, one), 0, -1)))
    await redis.close(client)
    return counted, found


async def test_the_console_gives_a_tenant_a_quota_and_shows_it(stack: Stack) -> None:
    key = await stack.new_key("bounded", "send,admin")
    await stack.console("domains", "add", "held.test", "--tenant", "bounded")

    assert "open_jobs of bounded: 2" in await stack.console("tenants", "quota", "bounded", "open_jobs", "2")
    shown = await stack.console("tenants", "show", "bounded")
    listed = await stack.console("tenants", "list")
    refused = await stack.console("tenants", "quota", "bounded", "open_jobs", "many")
    unknown = await stack.console("tenants", "quota", "bounded", "everything", "2")

    assert "its own" in shown
    assert "default" in shown
    assert "open_jobs=2" in listed
    assert "a quota is a number" in refused
    assert "there is no quota" in unknown

    async def holds() -> bool:
        status, answer = await stack.call("POST", "/v1/jobs?state=open", HOLDS["content"], key=key)
        return status == 429 and answer["quota"] == {"name": "open_jobs", "limit": 2, "used": 2}

    await stack.console("tenants", "quota", "bounded", "open_jobs", "default")
    await stack.console("tenants", "quota", "bounded", "open_jobs", "2")
    await stack.until(holds)
    assert await stack.done(await stack.send("ana@held.test"))


async def test_who_is_beyond_the_quota_of_requests_is_refused_alone(stack: Stack) -> None:
    key = await stack.new_key("flood", "send,read,admin")
    await stack.console("tenants", "quota", "flood", "requests_per_second", "1")

    async def refused() -> bool:
        answers = await asyncio.gather(*(stack.call("GET", "/v1/domains", key=key) for _ in range(10)))
        return any(status == 429 and answer["quota"]["limit"] == 1 for status, answer in answers)

    await stack.until(refused)

    assert (await stack.call("POST", "/v1/jobs", job("bo@held.test")))[0] == 202
