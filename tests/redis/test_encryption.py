"""From a domain's DNS to a mail delivered or held back: policies, routes, courier and reports over real servers."""

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

import pytest

from services.relay.delivery.connection import Connection
from services.relay.delivery.courier import Courier, Parcel, Result
from services.relay.delivery.dial import Timeouts
from services.relay.delivery.route import Routes
from services.relay.encryption.policies import Policies
from services.relay.reporting.tls_report import day_of
from services.relay.reporting.tls_reports import TlsReports
from services.relay.reporting.unlimited import Unlimited
from services.relay.traffic.egress import Source
from services.relay.traffic.hosts import Hosts
from services.relay.wiring import encryption
from services.relay.words.hop import Hop, NoRoute
from services.relay.words.reply import ConnectFailed, Reply
from shared.mail.dkim_keys import Vault
from shared.net import dns
from shared.process import settings
from shared.process.lifecycle import Lifecycle
from shared.redis import keys
from shared.redis.sending_domains import SendingDomains
from shared.words import ids
from tests.fakes.certificates import Authority, Issued
from tests.fakes.dns_server import DnsServer
from tests.fakes.smtp_server import EXTENSIONS, SmtpServer
from tests.fakes.web_server import Answer, WebServer

PARTITIONS = 3
DOMAIN, HOST = "example.net", "mx.example.net"
AUTHORITY = Authority()
GOOD, STRANGE = AUTHORITY.issue(HOST), Authority().issue(HOST)
MESSAGE = b"Subject: hello\r\n\r\nhello\r\n"
PATH = "/.well-known/mta-sts.txt"


def policy(mode: str = "enforce", mx: str = HOST) -> Answer:
    return Answer(f"version: STSv1\nmode: {mode}\nmx: {mx}\nmax_age: 86400\n".encode())


@dataclass
class World:
    """One recipient domain with its host, its web server and its zone; `make` starts a relay's parts."""

    client: Any
    ca_file: str
    names: DnsServer
    web: WebServer
    lives: list[Lifecycle] = field(default_factory=list)

    def zone(self, *lines: str) -> None:
        self.names.records = DnsServer("\n".join(lines)).records

    async def deliver(self, host: SmtpServer, **tls: str) -> tuple[Result, TlsReports]:
        """What becomes of a mail to the domain, by a relay that has just started."""
        life = Lifecycle("relay", settings.load(self.environ(host, tls), None))
        self.lives.append(life)
        resolver = dns.Resolver(dns.DnsClient(self.names.address, 300), lambda: 0.0)
        life.push_close(resolver.close)
        routes = Routes(resolver, None, host.port, Random(1), refused=lambda _address: False)
        found = Hosts(lambda: 0.0)
        domains = SendingDomains(self.client, Vault(b"k" * 32))

        async def open_connection(hop: Hop, source: Source) -> Connection:
            return await Connection.open(
                hop.host, hop.port, address=hop.address, helo="relay.example", tls=hop.tls,
                timeouts=Timeouts(quit=1), ca_file=self.ca_file,
            )  # fmt: skip

        def new_courier(routes: Any, reports: TlsReports | None = None) -> Courier:
            return Courier(routes, Unlimited(), open_connection, found, reports)

        policies, reports = encryption(life, self.client, resolver, routes, domains, new_courier)
        assert reports is not None
        secured = Secured(routes, policies)
        courier = new_courier(secured, reports)
        result = await courier.deliver(Parcel(DOMAIN, "b@relay.example", f"ana@{DOMAIN}", MESSAGE), wanted_still)
        await courier.close()
        assert isinstance(result, Result)
        return result, reports

    def environ(self, host: SmtpServer, tls: dict[str, str]) -> dict[str, str]:
        given = {
            "redis_partitions": str(PARTITIONS),
            "relay_route": "mx",
            "relay_private_networks": "true",
            "relay_mx_port": str(host.port),
            "tls_mta_sts_port": str(self.web.port),
            "tls_private_networks": "true",
            "tls_ca_file": self.ca_file,
            **{f"tls_{name}": value for name, value in tls.items()},
        }
        return {f"ESTAFETTE_{name.upper()}": value for name, value in given.items()}


@dataclass
class Secured:
    routes: Routes
    policies: Policies

    async def hops(self, domain: str) -> Any:
        found = await self.routes.hops(domain)
        return found if isinstance(found, NoRoute) else await self.policies.secured(domain, found)


async def wanted_still(source: str) -> None:
    return None


@pytest.fixture
async def world(client: Any, tmp_path: Path) -> AsyncIterator[World]:
    context = AUTHORITY.issue(f"mta-sts.{DOMAIN}").server_context()
    async with DnsServer() as names, WebServer(context) as web:
        world = World(client, AUTHORITY.write(tmp_path), names, web)
        yield world
        for life in world.lives:
            while life._closes:
                closing = life._closes.pop()()
                if closing is not None:
                    await closing


BASE = (f"{DOMAIN}. 300 IN MX 10 {HOST}.", f"{HOST}. 300 IN A 127.0.0.1")
STS = (f'_mta-sts.{DOMAIN}. 300 IN TXT "v=STSv1; id=1;"', f"mta-sts.{DOMAIN}. 300 IN A 127.0.0.1")


def tlsa(port: int, issued: Issued) -> str:
    return f"_{port}._tcp.{HOST}. 300 IN TLSA 3 1 1 {sha256(issued.spki).hexdigest()}"


async def test_a_domain_that_asks_for_nothing_gets_its_mail_as_before(world: World) -> None:
    world.zone(*BASE)
    async with SmtpServer(tls=STRANGE.server_context()) as host:
        result, _ = await world.deliver(host)

        assert isinstance(result.answer, Reply)
        assert (result.answer.code, result.tls) == (250, "TLSv1.3")
    async with SmtpServer() as host:
        result, _ = await world.deliver(host)

        assert isinstance(result.answer, Reply)
        assert (result.answer.code, result.tls) == (250, None)


async def test_an_enforced_mta_sts_policy_is_kept_to(world: World) -> None:
    world.zone(*BASE, *STS)
    world.web.answers[PATH] = policy()
    async with SmtpServer(tls=GOOD.server_context()) as host:
        result, _ = await world.deliver(host)
        assert isinstance(result.answer, Reply)

    for wrong in (SmtpServer(tls=STRANGE.server_context()), SmtpServer(extensions=EXTENSIONS)):
        async with wrong as host:
            result, _ = await world.deliver(host)
            assert isinstance(result.answer, ConnectFailed)
            assert result.answer.stage == "tls"
            assert host.envelopes == []

    # Who takes the record and the web server away does not open the way for a relay that has just started.
    world.zone(*BASE)
    world.web.answers.clear()
    async with SmtpServer(extensions=EXTENSIONS) as host:
        result, _ = await world.deliver(host)
        assert isinstance(result.answer, ConnectFailed)


async def test_a_host_that_the_enforced_policy_does_not_name_gets_nothing_and_the_domain_is_told(world: World) -> None:
    world.zone(*BASE, *STS, f'_smtp._tls.{DOMAIN}. 300 IN TXT "v=TLSRPTv1; rua=mailto:r@{DOMAIN}"')
    world.web.answers[PATH] = policy(mx="mx.elsewhere.example")
    async with SmtpServer(tls=GOOD.server_context()) as host:
        result, reports = await world.deliver(host)

        assert isinstance(result.answer, NoRoute)
        assert not result.answer.final
        assert host.connections == 0
    await reports.flush()
    partition = ids.name_partition(DOMAIN, PARTITIONS)
    days = (day_of(time.time()), day_of(time.time()) - 1)  # midnight may have been a moment ago
    counted = [await world.client.hvals(keys.tls_report(partition, day, DOMAIN)) for day in days]
    assert [b"1"] in counted


async def test_tlsa_records_are_kept_to(world: World) -> None:
    world.names.secure = {f"{DOMAIN}."}
    for shown, delivered in ((STRANGE, True), (GOOD, False)):
        async with SmtpServer(tls=shown.server_context()) as host:
            world.zone(*BASE, tlsa(host.port, STRANGE))
            result, _ = await world.deliver(host, dane_resolver=world.names.address)

            assert isinstance(result.answer, Reply if delivered else ConnectFailed)
            assert len(host.envelopes) == delivered


@pytest.mark.parametrize("name", [f"{DOMAIN}.", f"{HOST}."])
async def test_what_cannot_be_validated_holds_the_mail_back(world: World, name: str) -> None:
    world.names.secure = {f"{DOMAIN}."}
    async with SmtpServer(tls=STRANGE.server_context()) as host, DnsServer("\n".join(BASE)) as bogus:
        world.zone(*BASE)
        bogus.secure = {f"{DOMAIN}."}
        bogus.trouble[name] = "servfail"
        result, _ = await world.deliver(host, dane_resolver=bogus.address)

        assert isinstance(result.answer, NoRoute)
        assert not result.answer.final
        assert host.connections == 0


async def test_with_a_fixed_route_nothing_is_asked(world: World) -> None:
    life = Lifecycle("relay", settings.load({"ESTAFETTE_RELAY_ROUTE": "smtp://127.0.0.1:2526"}, None))
    hops = [Hop("127.0.0.1", 2526)]

    policies, reports = encryption(life, world.client, None, None, None, None)  # type: ignore[arg-type]

    assert await policies.secured(DOMAIN, hops) is hops
    assert reports is None
