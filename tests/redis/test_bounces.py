"""From a socket to the event stream: the bounce service with a real Redis, and with one that goes away."""

import secrets
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import Any, cast

import aiosmtplib
import pytest

from services.bounces.bounces import Bounces
from services.bounces.kept import KeptMails
from services.bounces.smtp import Listener
from shared.redis import keys, redis
from shared.redis.bus import Publisher
from shared.redis.recipients import Recipients
from shared.words import events, ids
from tests.servers import RedisServer
from tests.unit.bounces.parts import DOMAIN, JOB, KEYS, ORDINAL, RETURN_PATH, sample

PARTITIONS = 8


async def listening(client: Any) -> Listener:
    def now_ms() -> int:
        return time.time_ns() // 1_000_000

    bounces = Bounces(
        KEYS,
        lambda domain: domain == DOMAIN,
        Recipients(client, PARTITIONS),
        Publisher(client, PARTITIONS, lambda: secrets.token_hex(8)),
        KeptMails(client, now_ms),
        now_ms,
    )
    listener = Listener(bounces, "127.0.0.1", 0, DOMAIN)
    await listener.open()
    return listener


async def send(listener: Listener, name: str) -> None:
    async with aiosmtplib.SMTP(hostname="127.0.0.1", port=listener.port, start_tls=False) as peer:
        await peer.sendmail("", [RETURN_PATH], sample(name))


async def make_job(client: Any) -> None:
    key = keys.job(ids.job_partition(JOB, PARTITIONS), JOB)
    await cast(Awaitable[Any], client.hset(key, "tenant", "demo"))


async def published(client: Any) -> list[events.Message]:
    entries = await cast(Awaitable[Any], client.xrange(keys.events(ids.job_partition(JOB, PARTITIONS))))
    return [events.decode(fields[b"t"].decode(), fields[b"b"]) for _, fields in entries]


async def test_a_report_brought_twice_is_on_the_stream_once(any_redis_url: str) -> None:
    client = redis.connect(any_redis_url)
    await make_job(client)
    listener = await listening(client)
    try:
        await send(listener, "postfix-user-unknown.eml")
        await send(listener, "postfix-user-unknown.eml")
        facts = await published(client)
    finally:
        await listener.close()
        await redis.close(client)

    assert len(facts) == 1
    assert isinstance(facts[0], events.Bounced)
    assert (facts[0].tenant, facts[0].job, facts[0].ordinal, facts[0].kind) == ("demo", JOB, ORDINAL, "hard")


async def test_while_redis_is_away_the_peer_is_told_to_come_again_and_nothing_is_lost(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    server.start()
    client = redis.connect(server.url)
    await make_job(client)
    listener = await listening(client)
    try:
        server.kill()
        with pytest.raises(aiosmtplib.SMTPDataError) as refused:
            await send(listener, "postfix-user-unknown.eml")
        server.start()
        await send(listener, "postfix-user-unknown.eml")
        facts = await published(client)
    finally:
        await listener.close()
        await redis.close(client)
        server.stop()

    assert refused.value.code == 451
    assert [type(fact) for fact in facts] == [events.Bounced]
