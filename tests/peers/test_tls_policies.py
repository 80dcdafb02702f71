"""DANE and MTA-STS against real programs: a signed zone, a validating resolver, a Postfix with the right or the wrong
certificate, a web server with policies. What policy forbids is not sent, and nothing of it is said in clear."""

import random
import re
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from services.relay.courier import Courier, Result, Shunned
from services.relay.dane import Dane
from services.relay.dnssec import ValidatingResolver
from services.relay.https import Https
from services.relay.outcome import Defer, Deliver, outcome
from services.relay.policies import Policies
from services.relay.reply import ConnectFailed
from services.relay.route import Hop, NoRoute, Routes
from services.relay.smtp import Connection
from services.relay.sts_policies import StsPolicies
from services.relay.tls import TlsFailure, TlsPolicy
from shared import dns, redis
from tests.peers import secured
from tests.peers.secured import CASES, USER, Case, World
from tests.servers import RedisServer

pytestmark = pytest.mark.asyncio(loop_scope="module")

MESSAGE = b"From: news@exemple.fr\r\nSubject: secret\r\n\r\nBonjour\r\n"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with secured.running(tmp_path_factory.mktemp("secured")) as world:
        yield world


class SecuredRoutes:
    """Routes, and what their hosts have to prove, as the relay puts them together."""

    def __init__(self, routes: Routes, policies: Policies) -> None:
        self._routes = routes
        self._policies = policies

    async def hops(self, domain: str):
        hops = await self._routes.hops(domain)
        return hops if isinstance(hops, NoRoute) else await self._policies.secured(domain, hops)


@dataclass
class Sender:
    """`opened` are its connections; `noted` what a report would tell where there was none."""

    routes: SecuredRoutes
    ca_file: str
    opened: list[Connection]
    noted: list[tuple[str, TlsPolicy, TlsFailure]]

    async def send(self, case: Case) -> Result:
        async def opened(hop: Hop) -> Connection:
            connection = await Connection.open(
                hop.host, hop.port, address=hop.address, helo="relay.exemple.test", tls=hop.tls, ca_file=self.ca_file
            )
            self.opened.append(connection)
            return connection

        async def wanted() -> None:
            return None

        courier = Courier(self.routes, opened, Shunned(time.monotonic))
        try:
            result = await courier.deliver(case.domain, "b-0@bounces.test", f"{USER}@{case.domain}", MESSAGE, wanted)
        finally:
            await courier.close()
        assert result is not None
        return result


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sender(world: World, redis_server: RedisServer) -> AsyncIterator[Sender]:
    redis_server.flush()
    client = redis.connect(redis_server.url)
    resolver = dns.Resolver(dns.DnsClient(world.served.resolver, 5_000), time.monotonic)
    web = Https(resolver, ca_file=world.ca_file, allow_private=True)
    sts = StsPolicies(resolver, web, client, 4, lambda: int(time.time() * 1000), world.web.port)
    dane = Dane(ValidatingResolver(world.served.resolver, 5_000, time.monotonic))
    noted: list[tuple[str, TlsPolicy, TlsFailure]] = []
    policies = Policies(dane, sts, lambda domain, policy, hop, failure: noted.append((domain, policy, failure)))
    routes = Routes(resolver, None, world.postfix.port, random.Random(0))
    try:
        yield Sender(SecuredRoutes(routes, policies), world.ca_file, [], noted)
    finally:
        await sts.close()
        await web.close()
        await resolver.close()
        await redis.close(client)


@pytest.mark.parametrize("case", [case for case in CASES if not case.waits], ids=lambda case: case.domain)
async def test_mail_goes_out_encrypted_as_its_domain_asks(world: World, sender: Sender, case: Case) -> None:
    result = await sender.send(case)

    assert outcome(result.answer) == Deliver(), result.text
    connection = sender.opened[-1]
    assert connection.tls_policy == case.ends
    assert connection.tls == (None if case.shows == "clear" else "TLSv1.3")
    assert connection.tls_failure == case.failure
    assert b"Subject: secret" in world.mail(case)
    said = world.postfix.until(lambda: world.sessions(case))[-1]
    assert "mail=1" in said
    assert ("starttls=1" in said) == (case.shows != "clear")


@pytest.mark.parametrize("case", [case for case in CASES if case.waits], ids=lambda case: case.domain)
async def test_mail_waits_where_its_domain_forbids_to_send_it_and_nothing_is_said_of_it(
    world: World, sender: Sender, case: Case
) -> None:
    sender.noted.clear()

    result = await sender.send(case)

    assert outcome(result.answer) == Defer(case.ends), result.text
    failures = [failure for _, _, failure in sender.noted]
    if isinstance(result.answer, ConnectFailed):
        failures.append(result.answer.tls_failure)
    assert failures == ([case.failure] if case.failure else [])
    assert world.mails(case) == []
    # At most a greeting, before and after STARTTLS, and QUIT.
    assert not [session for session in world.sessions(case) if re.search(r"\b(mail|rcpt|data)=", session)]
