"""DANE and MTA-STS against real programs: a signed zone, a validating resolver, a Postfix with the right or the wrong
certificate, a web server with policies. What policy forbids is not sent, and nothing of it is said in clear."""

import gzip
import json
import random
import re
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email import message_from_bytes, policy
from typing import Any, Literal

import pytest
import pytest_asyncio

from services.relay.delivery.connection import Connection
from services.relay.delivery.courier import Courier, Parcel, Result
from services.relay.delivery.route import Routes
from services.relay.encryption.dane import Dane
from services.relay.encryption.dnssec import ValidatingResolver
from services.relay.encryption.policies import Policies
from services.relay.encryption.sts_policies import StsPolicies
from services.relay.message.outcome import Defer, Deliver, outcome
from services.relay.reporting.tls_report import DAY_S, SPREAD_S, Reporter
from services.relay.reporting.tls_reports import Sending, TlsReports, deliver_by
from services.relay.reporting.unlimited import Unlimited
from services.relay.signing.dkim import Signer
from services.relay.traffic.egress import Source
from services.relay.traffic.hosts import Hosts
from services.relay.words.hop import Hop, NoRoute
from services.relay.words.tls import TlsFailure, TlsPolicy
from shared.net import dns
from shared.net.web import Https
from shared.redis import redis
from tests.peers import secured
from tests.peers.secured import CASES, REPORTS_TO, Case, World
from tests.servers import RedisServer

pytestmark = pytest.mark.asyncio(loop_scope="module")

BY = Reporter("tls-reports@exemple.test", "Exemple", "postmaster@exemple.test")
#: What asked for the encryption, as reports call it.
KINDS = {"dane": "tlsa", "mta-sts": "sts"}
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

    async def hops(self, domain: str) -> Sequence[Hop] | NoRoute:
        hops = await self._routes.hops(domain)
        return hops if isinstance(hops, NoRoute) else await self._policies.secured(domain, hops)


class Clock:
    """The time of day, and as much later as a test wants it."""

    def __init__(self) -> None:
        self.ahead_s = 0

    def __call__(self) -> float:
        return time.time() + self.ahead_s


@dataclass
class Sender:
    """`opened` are its connections; `noted` what a report tells of the last mail: result types, empty for a success."""

    routes: Routes
    policies: Policies
    ca_file: str
    reports: TlsReports
    clock: "Clock"
    opened: list[Connection]
    noted: list[str]

    async def send(self, user: str, case: Case) -> Result:
        self.noted.clear()

        async def wanted(source: str) -> None:
            return None

        routes = SecuredRoutes(self.routes, self.policies)
        courier = Courier(routes, Unlimited(), self.open, Hosts(time.monotonic), self)
        try:
            result = await courier.deliver(
                Parcel(case.domain, "b-0@bounces.test", f"{user}@{case.domain}", MESSAGE), wanted
            )
        finally:
            await courier.close()
        assert isinstance(result, Result)
        return result

    async def open(self, hop: Hop, source: Source) -> Connection:
        connection = await Connection.open(
            hop.host, hop.port, address=hop.address, helo="relay.exemple.test", tls=hop.tls, ca_file=self.ca_file
        )
        self.opened.append(connection)
        return connection

    def note(
        self,
        domain: str,
        policy: TlsPolicy,
        hop: Hop,
        failure: TlsFailure | Literal[""],
        source_ip: str = "",
        reason: str = "",
    ) -> None:
        self.noted.append(failure)
        self.reports.note(domain, policy, hop, failure, source_ip, reason)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sender(world: World, redis_server: RedisServer) -> AsyncIterator[Sender]:
    redis_server.flush()
    async with sending(world, redis_server.url) as sender:
        yield sender


@asynccontextmanager
async def sending(world: World, redis_url: str) -> AsyncIterator[Sender]:
    """One relay, as far as encryption goes: what it knows of domains is in its memory, and what it keeps in Redis."""
    client = redis.connect(redis_url)
    resolver = dns.Resolver(dns.DnsClient(world.served.resolver, 5_000), time.monotonic)
    web = Https(resolver, ca_file=world.ca_file, allow_private=True)
    sts = StsPolicies(resolver, web, client, 4, lambda: int(time.time() * 1000), world.web.port)
    dane = Dane(ValidatingResolver(world.served.resolver, 5_000, time.monotonic))
    routes = Routes(resolver, None, world.postfix.port, random.Random(0), refused=lambda _address: False)

    async def no_keys(domain: str) -> Sequence[Signer]:
        return ()

    clock = Clock()
    deliver = deliver_by(lambda: Courier(routes, Unlimited(), relay.open, Hosts(time.monotonic)))
    reports = TlsReports(client, 4, resolver, clock, Sending(BY, web, deliver, no_keys))
    policies = Policies(dane, sts, lambda *told: relay.note(*told))
    relay = Sender(routes, policies, world.ca_file, reports, clock, [], [])
    try:
        yield relay
    finally:
        await sts.close()
        await web.close()
        await resolver.close()
        await redis.close(client)


@pytest.mark.parametrize("case", [case for case in CASES if not case.waits], ids=lambda case: case.domain)
async def test_mail_goes_out_encrypted_as_its_domain_asks(world: World, sender: Sender, case: Case) -> None:
    result = await sender.send("ana", case)

    assert outcome(result.answer) == Deliver(), result.text
    connection = sender.opened[-1]
    assert connection.tls_policy == case.ends
    assert connection.tls == (None if case.shows == "clear" else "TLSv1.3")
    assert connection.tls_failure == case.failure
    assert sender.noted == [case.failure]
    assert b"Subject: secret" in world.mail("ana", case)
    said = world.postfix.until(lambda: [one for one in world.sessions(case) if "mail=1" in one])[-1]
    assert ("starttls=1" in said) == (case.shows != "clear")


@pytest.mark.parametrize("case", [case for case in CASES if case.waits], ids=lambda case: case.domain)
async def test_mail_waits_where_its_domain_forbids_to_send_it_and_nothing_is_said_of_it(
    world: World, sender: Sender, case: Case
) -> None:
    result = await sender.send("ana", case)

    assert outcome(result.answer) == Defer(case.ends), result.text
    assert sender.noted == ([case.failure] if case.failure else [])
    assert world.mails("ana", case) == []
    # At most a greeting, before and after STARTTLS, and QUIT.
    assert not [session for session in world.sessions(case) if re.search(r"\b(mail|rcpt|data)=", session)]


async def test_who_takes_away_a_policy_opens_nothing_not_even_after_a_restart(
    world: World, sender: Sender, redis_server: RedisServer
) -> None:
    kept, strict = (next(case for case in CASES if case.name == name) for name in ("enforced", "unknown"))
    for case in (kept, strict):
        await sender.send("ana", case)
    answers = dict(world.web.answers)

    # A second record makes both of no use (RFC 8461 section 3.1), and the web server knows nothing any more.
    world.served.publish_plain(*(f'_mta-sts.{case.domain}. TXT "v=STSv1; id=2"' for case in (kept, strict)))
    world.web.answers.clear()
    try:
        async with sending(world, redis_server.url) as restarted:
            results = [await restarted.send("ana", case) for case in (kept, strict)]
    finally:
        world.web.answers |= answers

    assert [outcome(result.answer) for result in results] == [Deliver(), Defer("connection_failed")]
    assert [connection.tls_policy for connection in restarted.opened] == ["mta-sts"]
    assert world.mails("ana", strict) == []


async def test_the_next_day_each_domain_is_told_what_became_of_the_connections_to_it(
    world: World, sender: Sender
) -> None:
    told: dict[str, list[str]] = {}
    for case in CASES:
        await sender.send("cleo", case)
        told[case.domain] = list(sender.noted)

    await sender.reports.flush()
    sender.clock.ahead_s = DAY_S + SPREAD_S
    await sender.reports.send_due()
    reported = _reports(world, sum(bool(noted) for noted in told.values()))

    assert reported.keys() == {domain for domain, noted in told.items() if noted}
    for case in CASES:
        if case.domain not in reported:
            assert case.ends == "dns_unavailable"
            continue
        # Those of the tests before are in it too: the same again.
        (of_policy,) = reported[case.domain]["policies"]
        failed = bool(case.failure)
        details = of_policy.get("failure-details", [])
        assert of_policy["policy"]["policy-domain"] == case.domain
        assert (of_policy["summary"]["total-failure-session-count"] > 0) == failed
        assert (of_policy["summary"]["total-successful-session-count"] > 0) == (not failed)
        assert [one["result-type"] for one in details] == ([case.failure] if failed else [])
        if case.ends in KINDS:
            assert of_policy["policy"]["policy-type"] == KINDS[case.ends]


def _reports(world: World, count: int) -> dict[str, Any]:
    """The reports that have arrived, once there are so many, by domain."""

    def arrived() -> list[bytes]:
        mails = [mail for mail in world.postfix.mails(REPORTS_TO) if b"TLS-Report-Domain:" in mail]
        return mails if len(mails) >= count else []

    found = {}
    for mail in world.postfix.until(arrived):
        parsed = message_from_bytes(mail, policy=policy.default)
        (attached,) = parsed.iter_attachments()
        packed = attached.get_payload(decode=True)
        assert isinstance(packed, bytes)
        found[parsed["TLS-Report-Domain"]] = json.loads(gzip.decompress(packed))
    return found
