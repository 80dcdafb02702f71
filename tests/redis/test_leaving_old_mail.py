"""Who leaves by a mail whose job is not kept any more is on the list, or is not told so."""

import contextlib
import secrets
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from services.settings import load
from services.suppression.store import Lists
from services.suppression.suppression import Suppression
from services.tracking import http, pages, parts
from shared.http import api
from shared.redis import bus, keys, redis
from shared.redis.bus import Publisher
from shared.redis.recipients import Recipients, Waiting, pack_slim
from shared.redis.suppression import Asked, SuppressionList
from shared.redis.untracked import Untracked
from shared.words import ids
from shared.words.tokens import TokenKeys

PARTITIONS = 8
KEYS = TokenKeys(b"k" * 32)
JOB = ids.new_job_id(1_750_000_000_000, b"chance", PARTITIONS, 3)
ANA = "Ana@Example.org"
BEFORE = ""  # what tokens had for an address, before there was one in them


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class NoKeys:
    async def verify(self, text: str) -> None:
        return None


@contextlib.asynccontextmanager
async def serving(url: str, folder: Path) -> AsyncIterator[TestClient[web.Request, web.Application]]:
    client = redis.connect(url)
    settings = load({"ESTAFETTE_DATA_DIR": str(folder), "ESTAFETTE_TRACKING_SPOOL_AFTER_MS": "60000"}, None)
    publisher = Publisher(client, PARTITIONS, lambda: secrets.token_hex(8))
    tracking = parts.tracking(
        settings, publisher, KEYS, Recipients(client, PARTITIONS), Untracked(client), secrets.token_hex(6)
    )
    await tracking.start()
    app = api.application(http.routes(tracking, now_ms), NoKeys(), max_body_bytes=65536)
    try:
        async with TestClient(TestServer(app)) as browser:
            yield browser
    finally:
        await tracking.close()
        await redis.close(client)


async def keep_job(client: Any) -> None:
    people = [Waiting(email=f"r{ordinal}@example.org") for ordinal in range(7)] + [Waiting(email=ANA)]
    await client.zadd(keys.job_recipients(3, JOB), {pack_slim(0, people): 0})


async def listed(client: Any) -> str | None:
    """Why Ana is on the list, once all facts are applied."""
    suppression = Suppression(Lists(client, PARTITIONS), Recipients(client, PARTITIONS), now_ms)
    for partition in range(PARTITIONS):
        for number, fields in await client.xrange(keys.events(partition)):
            await suppression.apply(partition, [bus.entry(number, fields)])
    return (await SuppressionList(client, PARTITIONS).check([Asked("demo", ANA.lower(), "email", "bulk", "")]))[0]


@pytest.mark.parametrize("body", [b"List-Unsubscribe=One-Click", b"by=page", b""])
async def test_who_leaves_is_on_the_list_though_nothing_of_the_job_is_kept(
    client: Any, any_redis_url: str, tmp_path: Path, body: bytes
) -> None:
    async with serving(any_redis_url, tmp_path) as browser:
        path = f"/u/{KEYS.unsubscribe(JOB, 7, 'demo', ANA)}"
        async with browser.post(
            path, data=body, headers={"Content-Type": "application/x-www-form-urlencoded"}
        ) as answer:
            assert answer.status == 200

    assert await listed(client) == "unsubscribed"


async def test_an_older_link_asks_the_job_who_leaves(client: Any, any_redis_url: str, tmp_path: Path) -> None:
    await keep_job(client)
    async with serving(any_redis_url, tmp_path) as browser:
        answer = await browser.post(f"/u/{KEYS.unsubscribe(JOB, 7, 'demo', BEFORE)}")
    assert answer.status == 200
    await client.delete(keys.job_recipients(3, JOB))  # between the answer and whoever makes the list

    assert await listed(client) == "unsubscribed"


async def test_an_older_link_of_a_job_that_is_gone_says_so_and_records_nothing(
    client: Any, any_redis_url: str, tmp_path: Path
) -> None:
    await keep_job(client)
    async with serving(any_redis_url, tmp_path) as browser:
        for job, ordinal in ((JOB, 8), (ids.new_job_id(1, b"others", PARTITIONS, 3), 7)):
            path = f"/u/{KEYS.unsubscribe(job, ordinal, 'demo', BEFORE)}"
            async with browser.post(path, headers={"Accept-Language": "en"}) as answer:
                assert (answer.status, await answer.read()) == (404, pages.invalid("en"))

    assert await client.xlen(keys.events(3)) == 0


async def test_an_older_link_has_to_be_tried_again_while_redis_is_away(tmp_path: Path) -> None:
    async with serving("redis://127.0.0.1:1/0", tmp_path) as browser:
        async with browser.post(f"/u/{KEYS.unsubscribe(JOB, 7, 'demo', BEFORE)}") as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
        async with browser.get(f"/u/{KEYS.unsubscribe(JOB, 7, 'demo', BEFORE)}") as answer:
            assert answer.status == 200
