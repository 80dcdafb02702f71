"""MTA-STS policies over a real web server and a real Redis: fetched once, kept, fetched again, and kept in spite."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.relay.encryption.mta_sts import StsPolicy
from services.relay.encryption.sts_policies import (
    MIN_AGE_MS,
    REFRESH_MS,
    RETRY_MS,
    UNAVAILABLE_MS,
    NotFetched,
    StsPolicies,
)
from services.relay.words.tls import TlsFailure
from shared.net.dns import DnsUnavailable
from shared.net.web import Failed, Https, Why
from shared.redis import keys
from shared.words import ids
from tests.fakes.certificates import Authority
from tests.fakes.web_server import Answer, WebServer

PARTITIONS = 3
DAY_MS = 86_400_000
PATH = "/.well-known/mta-sts.txt"
AUTHORITY = Authority()


def policy(mode: str = "enforce", mx: str = "mx.example.net", max_age: int = 604_800) -> Answer:
    return Answer(f"version: STSv1\nmode: {mode}\nmx: {mx}\nmax_age: {max_age}\n".encode())


class World:
    """The domain's DNS and web server, and the time."""

    def __init__(self, client: Any, ca_file: str, server: WebServer) -> None:
        self.texts_are: list[str] | DnsUnavailable = ["v=STSv1; id=1;"]
        self.now_ms = 1_700_000_000_000
        self.client, self.ca_file, self.server = client, ca_file, server
        self.server.answers[PATH] = policy()
        self.webs: list[Https] = []
        self.relays: list[StsPolicies] = []

    async def texts(self, name: str) -> list[str] | DnsUnavailable:
        assert name == "_mta-sts.example.net"
        return self.texts_are

    async def addresses(self, host: str) -> list[str] | DnsUnavailable:
        assert host == "mta-sts.example.net"
        return ["127.0.0.1"]

    def relay(self) -> StsPolicies:
        """One that has just started."""
        web = Https(self, ca_file=self.ca_file, allow_private=True)
        self.webs.append(web)
        relay = StsPolicies(self, web, self.client, PARTITIONS, lambda: self.now_ms, self.server.port)
        self.relays.append(relay)
        return relay

    @property
    def fetches(self) -> int:
        return len(self.server.requests)


@pytest.fixture
async def world(client: Any, tmp_path: Path) -> AsyncIterator[World]:
    async with web_server() as server:
        world = World(client, AUTHORITY.write(tmp_path), server)
        yield world
        for relay in world.relays:
            await relay.close()
        for web in world.webs:
            await web.close()


@asynccontextmanager
async def web_server() -> AsyncIterator[WebServer]:
    async with WebServer(AUTHORITY.issue("mta-sts.example.net").server_context()) as server:
        yield server


ENFORCED = StsPolicy("enforce", ("mx.example.net",), 604_800)


async def test_a_policy_is_fetched_once_however_many_mails_wait_for_it(world: World) -> None:
    relay = world.relay()

    found = await asyncio.gather(*(relay.policy("example.net") for _ in range(20)))

    assert found == [ENFORCED] * 20
    assert await relay.policy("example.net") == ENFORCED
    assert world.fetches == 1


@pytest.mark.parametrize("texts", [[], ["v=spf1 -all"], ["v=STSv1; id=1;", "v=STSv1; id=2;"]])
async def test_a_domain_without_a_record_has_no_policy_and_is_not_asked(world: World, texts: list[str]) -> None:
    world.texts_are = texts

    assert await world.relay().policy("example.net") is None
    assert world.fetches == 0


async def test_an_address_literal_has_no_policy(world: World) -> None:
    assert await world.relay().policy("[192.0.2.1]") is None


async def test_a_relay_that_starts_knows_what_others_have_learnt(world: World) -> None:
    await world.relay().policy("example.net")

    assert await world.relay().policy("example.net") == ENFORCED
    assert world.fetches == 1
    key = keys.mta_sts(ids.name_partition("example.net", PARTITIONS), "example.net")
    assert 0 < await world.client.pttl(key) <= 604_800_000


@pytest.mark.parametrize("suppressed", [[], DnsUnavailable("example.net", "Timeout")], ids=["record gone", "no answer"])
async def test_whoever_suppresses_the_record_does_not_open_the_way(
    world: World, suppressed: list[str] | DnsUnavailable
) -> None:
    relay = world.relay()
    await relay.policy("example.net")
    world.texts_are = suppressed
    world.now_ms += 6 * DAY_MS

    assert await relay.policy("example.net") == ENFORCED
    assert await world.relay().policy("example.net") == ENFORCED


async def test_a_policy_is_forgotten_when_it_has_expired(world: World) -> None:
    relay = world.relay()
    await relay.policy("example.net")
    world.texts_are = []
    world.now_ms += 7 * DAY_MS

    assert await relay.policy("example.net") is None


async def test_an_expired_policy_is_fetched_anew(world: World) -> None:
    relay = world.relay()
    await relay.policy("example.net")
    world.now_ms += 8 * DAY_MS
    world.server.answers[PATH] = policy("testing")

    assert await relay.policy("example.net") == StsPolicy("testing", ("mx.example.net",), 604_800)
    assert world.fetches == 2


async def test_another_id_is_another_policy_at_once(world: World) -> None:
    relay = world.relay()
    await relay.policy("example.net")
    world.texts_are = ["v=STSv1; id=2;"]
    world.server.answers[PATH] = policy("none")

    assert await relay.policy("example.net") == StsPolicy("none", ("mx.example.net",), 604_800)
    assert await world.relay().policy("example.net") == StsPolicy("none", ("mx.example.net",), 604_800)
    assert world.fetches == 2


async def test_the_same_id_is_not_fetched_within_the_day_and_beside_the_mail_after_it(world: World) -> None:
    relay = world.relay()
    await relay.policy("example.net")
    world.server.answers[PATH] = policy(mx="*.example.net")
    world.now_ms += REFRESH_MS - 1
    assert await relay.policy("example.net") == ENFORCED
    assert world.fetches == 1

    world.now_ms += 1
    assert await relay.policy("example.net") == ENFORCED
    async with asyncio.timeout(30):
        while (fetched := await relay.policy("example.net")) == ENFORCED:  # noqa: ASYNC110 - nobody is told
            await asyncio.sleep(0.01)

    assert fetched == StsPolicy("enforce", ("*.example.net",), 604_800)
    assert world.fetches == 2


@pytest.mark.parametrize("answer", [Answer(status=404), Answer(b"nonsense")])
async def test_a_failed_refresh_keeps_the_policy_and_is_tried_again_later(world: World, answer: Answer) -> None:
    relay = world.relay()
    await relay.policy("example.net")
    world.texts_are = ["v=STSv1; id=2;"]
    good, world.server.answers[PATH] = world.server.answers[PATH], answer

    for _ in range(5):
        assert await relay.policy("example.net") == ENFORCED
    assert world.fetches == 2
    world.server.answers[PATH] = good
    world.now_ms += RETRY_MS
    assert await relay.policy("example.net") == ENFORCED
    assert world.fetches == 3
    assert await relay.policy("example.net") == ENFORCED
    assert world.fetches == 3


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (Answer(status=404), "sts-policy-fetch-error"),
        (Answer(b"nonsense"), "sts-policy-invalid"),
        (policy("sometimes"), "sts-policy-invalid"),
    ],
)
async def test_a_policy_that_cannot_be_had_the_first_time_is_none_that_is_told_about(
    world: World, answer: Answer, failure: Any
) -> None:
    world.server.answers[PATH] = answer
    relay = world.relay()

    for _ in range(3):
        assert await relay.policy("example.net") == NotFetched(failure)
    assert world.fetches == 1
    world.texts_are = []
    assert await relay.policy("example.net") is None


class FailingWeb:
    """A web server that fails in one way."""

    def __init__(self, why: Why) -> None:
        self.why = why

    async def get(self, url: str, media_type: str, max_bytes: int) -> bytes:
        raise Failed(self.why, f"{url} failed")


@pytest.mark.parametrize(
    ("why", "failure"),
    [
        ("unreachable", "sts-policy-fetch-error"),
        ("status", "sts-policy-fetch-error"),
        ("unproven", "sts-webpki-invalid"),
        ("media_type", "sts-policy-invalid"),
        ("too_long", "sts-policy-invalid"),
    ],
)
async def test_how_a_policys_web_server_fails_has_a_result_type(world: World, why: Why, failure: TlsFailure) -> None:
    relay = StsPolicies(world, FailingWeb(why), world.client, PARTITIONS, lambda: world.now_ms)

    found = await relay.policy("example.net")

    assert found == NotFetched(failure)


async def test_a_policy_that_is_to_be_forgotten_at_once_is_not_fetched_for_every_mail(world: World) -> None:
    world.server.answers[PATH] = policy(max_age=0)
    relay = world.relay()
    await relay.policy("example.net")
    world.now_ms += MIN_AGE_MS - 1

    assert await relay.policy("example.net") == msgspec.structs.replace(ENFORCED, max_age_s=0)
    assert world.fetches <= 2


async def test_who_stops_waiting_does_not_take_the_policy_away(world: World) -> None:
    world.server.answers[PATH].delay_s = 0.2
    relay = world.relay()
    impatient = asyncio.create_task(relay.policy("example.net"))
    patient = asyncio.create_task(relay.policy("example.net"))
    await world.server.asked.wait()

    impatient.cancel()

    assert await patient == ENFORCED
    assert world.fetches == 1


async def test_name_servers_that_do_not_answer_are_not_waited_for_with_every_mail(world: World) -> None:
    relay = world.relay()
    good, world.texts_are = world.texts_are, DnsUnavailable("example.net", "Timeout")
    assert await relay.policy("example.net") is None
    world.texts_are = good

    assert await relay.policy("example.net") is None
    world.now_ms += UNAVAILABLE_MS
    assert await relay.policy("example.net") == ENFORCED
