"""What a host that refuses connections does to messages in line: the relay's main path, a real Redis, a real host."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable

import pytest

from services.relay.traffic import hosts as hosts_module
from services.relay.words.hop import Hop
from shared.redis import redis
from shared.words import events
from tests.fakes.smtp_server import CLOSE, RESET, Act, SmtpServer, Step
from tests.redis.test_relay import House, running, taken, until
from tests.servers import free_port

TAKES = 9


@pytest.fixture
async def house(redis_url: str) -> AsyncIterator[House]:
    client = redis.connect(redis_url)
    yield House(client)
    await redis.close(client)


def crowded(host: Callable[[], SmtpServer], end: Act | str, refused: list[int]) -> Callable[[str], Step]:
    """Takes so many connections, and refuses every other."""

    greeted = itertools.count(1)

    def greet(_: str) -> Step:
        # Of those that come together all are open before the first is greeted.
        if host().open_connections <= TAKES or next(greeted) <= TAKES:
            return "220 hello"
        refused.append(host().open_connections)
        return (end, CLOSE) if isinstance(end, str) else end

    return greet


@pytest.mark.parametrize("end", ["421 hold your horses", "421 4.7.0 too many connections", RESET, CLOSE], ids=str)
async def test_one_connection_too_many_costs_no_message_anything(house: House, end: Act | str) -> None:
    refused: list[int] = []
    server = SmtpServer({"CONNECT": crowded(lambda: server, end, refused), "DOT": (0.05, "250 ok")})
    job = await house.job()
    async with server:
        house.hops["a.test"] = Hop("127.0.0.1", server.port)
        await house.enqueue(job, range(300))

        async with running(house.relay(connections=20, in_flight=4000, batch=500)):
            await until(lambda: house.has_ended(300))

    words = await house.words()
    assert {tuple(found) for found in words.values()} == {("Delivered",)}
    assert set(taken(server).values()) == {1}
    assert 0 < len(refused) <= 20
    assert all(fact.attempt == 1 for fact in await house.facts())


async def test_a_host_that_says_421_to_everybody_costs_those_who_were_tried_an_attempt_and_nobody_else(
    house: House,
) -> None:
    job = await house.job()
    async with SmtpServer({"CONNECT": ("421 later, perhaps", CLOSE)}) as server:
        house.hops["a.test"] = Hop("127.0.0.1", server.port)
        await house.enqueue(job, range(200))

        async with running(house.relay(connections=4, retry_s=3600)):
            await until(lambda: server.connections >= 5)
            await until(house.facts)
            await asyncio.sleep(0.5)

        facts = await house.facts()
        assert {type(fact) for fact in facts} == {events.Deferred}
        assert len(facts) <= server.connections <= 8
        assert {fact.reply for fact in facts} == {"421 later, perhaps"}
        left = await house.left()
        assert left["retry"] + left["ready"] == 200


async def test_what_could_not_be_tried_comes_back_with_its_attempt_and_the_reason_and_is_delivered(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hosts_module, "SILENT_S", 1.0)
    port = free_port()
    house.hops["a.test"] = Hop("127.0.0.1", port)
    job = await house.job()
    await house.enqueue(job, range(50))

    async with running(house.relay(connections=1, retry_s=1)):
        await until(lambda: house.words())
        async with SmtpServer(port=port) as server:
            await until(lambda: house.has_ended(50))

    assert set(taken(server).values()) == {1}
    facts = await house.facts()
    deferred = [fact for fact in facts if isinstance(fact, events.Deferred)]
    assert 1 <= len(deferred) <= 5
    tried_before = {fact.ordinal for fact in deferred}
    assert {fact.ordinal for fact in facts if isinstance(fact, events.Delivered) and fact.attempt > 1} == tried_before


async def test_one_customers_host_that_is_shut_leaves_the_others_of_its_provider_alone(house: House) -> None:
    job = await house.job()
    house.gate.many_hosts.add("provider")
    async with SmtpServer({"CONNECT": ("421 no more", CLOSE)}) as shut, SmtpServer() as open_:
        house.hops |= {"shut.test": Hop("127.0.0.1", shut.port), "open.test": Hop("127.0.0.1", open_.port)}
        rows = [
            (1, "provider", events.encode(events.Ready(tenant="acme", job=job, ordinal=n, email=f"u{n}@{domain}.test")))
            for n, domain in enumerate(["shut"] * 60 + ["open"] * 60)
        ]
        await house.enqueue_rows(job, "provider", rows)

        async with running(house.relay(connections=2, retry_s=3600)):
            await until(lambda: house.has_ended(60))

        assert len(open_.envelopes) == 60
        assert shut.connections <= 6


async def test_a_message_that_could_not_be_tried_in_its_time_expires_with_what_the_host_said(house: House) -> None:
    job = await house.job()
    async with SmtpServer({"CONNECT": "554 5.7.1 nobody gets in"}) as server:
        house.hops["a.test"] = Hop("127.0.0.1", server.port)
        await house.enqueue(job, range(5), expires_at=house.clock.now_ms() + 3_000)

        async with running(house.relay(connections=1, retry_s=3600)):
            await until(lambda: house.has_ended(5))

    facts = await house.facts()
    assert {type(fact) for fact in facts} == {events.Expired}
    assert {fact.reply for fact in facts} == {"554 5.7.1 nobody gets in"}
    assert sorted(fact.attempt for fact in facts) == [0, 0, 0, 0, 1]
