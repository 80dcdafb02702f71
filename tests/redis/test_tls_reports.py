"""TLS reports over real parts: counted in Redis, sent by SMTP and by HTTPS after the day, once, tried for a day."""

import asyncio
import email
import gzip
import json
from collections.abc import AsyncIterator, Sequence
from email import policy as email_policy
from pathlib import Path
from typing import Any

import dkim
import pytest

from services.relay.delivery.connection import Connection
from services.relay.delivery.courier import Courier
from services.relay.delivery.dial import Timeouts
from services.relay.reporting.tls_report import DAY_S, Reporter, due_at
from services.relay.reporting.tls_reports import (
    RETRY_MS,
    Sending,
    TlsReports,
    deliver_by,
)
from services.relay.reporting.unlimited import Unlimited
from services.relay.signing.dkim import Signer
from services.relay.traffic.egress import Source
from services.relay.traffic.hosts import Hosts
from services.relay.words.hop import Hop, NoRoute
from services.relay.words.tls import NEVER, OPPORTUNISTIC, TlsPolicy
from shared.mail import dkim_keys
from shared.net.dns import DnsUnavailable
from shared.net.web import Https
from shared.redis import keys
from shared.words import ids
from tests.fakes.certificates import Authority
from tests.fakes.smtp_server import SmtpServer
from tests.fakes.web_server import Answer, WebServer

PARTITIONS = 3
DAY = 20_000
DOMAIN = "example.net"
HOP = Hop("mx.example.net", 25, "192.0.2.1")
BY = Reporter("tlsrpt@relay.example", "Relay", "postmaster@relay.example")
AUTHORITY = Authority()
STS = TlsPolicy("verified", "mta-sts", ("*.example.net",), published=("version: STSv1", "mode: enforce"))
PEM = dkim_keys.make("ed25519-sha256")


class World:
    """The domain's record, its receivers of reports, and the time."""

    def __init__(self, client: Any, ca_file: str, mails: SmtpServer, web: WebServer) -> None:
        self.client, self.mails, self.web = client, mails, web
        self.now_s = DAY * DAY_S + 3600.0
        self.records: dict[str, list[str] | DnsUnavailable] = {
            f"_smtp._tls.{DOMAIN}": ["v=TLSRPTv1; rua=mailto:reports@example.net"]
        }
        self.asked: list[str] = []
        self.https = Https(self, ca_file=ca_file, allow_private=True)
        self.found = Hosts(lambda: self.now_s)

    async def texts(self, name: str) -> list[str] | DnsUnavailable:
        self.asked.append(name)
        return self.records.get(name, [])

    async def addresses(self, host: str) -> list[str] | DnsUnavailable:
        return ["127.0.0.1"]

    async def hops(self, domain: str) -> Sequence[Hop] | NoRoute:
        assert domain == DOMAIN
        return [Hop("127.0.0.1", self.mails.port)]

    async def open(self, hop: Hop, source: Source) -> Connection:
        return await Connection.open(hop.host, hop.port, helo="relay.example", tls=hop.tls, timeouts=Timeouts(quit=1))

    async def signers(self, domain: str) -> Sequence[Signer]:
        assert domain == "relay.example"
        return [Signer(domain, "s1", PEM)]

    def relay(self, *, reporting: bool = True) -> TlsReports:
        deliver = deliver_by(lambda: Courier(self, Unlimited(), self.open, self.found))
        sending = Sending(BY, self.https, deliver, self.signers) if reporting else None
        return TlsReports(self.client, PARTITIONS, self, lambda: self.now_s, sending)

    async def counted(self, domain: str = DOMAIN) -> dict[bytes, bytes]:
        found: dict[bytes, bytes] = await self.client.hgetall(self.key(domain))
        return found

    def key(self, domain: str = DOMAIN) -> str:
        return keys.tls_report(ids.name_partition(domain, PARTITIONS), DAY, domain)

    def reports(self) -> list[Any]:
        """What came by mail."""
        found = []
        for message in self.mails.messages:
            parsed = email.message_from_bytes(message, policy=email_policy.SMTP)
            (_, attached) = parsed.iter_parts()
            found.append(json.loads(gzip.decompress(attached.get_content())))
        return found


@pytest.fixture
async def world(client: Any, tmp_path: Path) -> AsyncIterator[World]:
    context = AUTHORITY.issue("reports.example.net").server_context()
    async with SmtpServer() as mails, WebServer(context) as web:
        world = World(client, AUTHORITY.write(tmp_path), mails, web)
        yield world
        await world.https.close()


async def one_day(world: World) -> TlsReports:
    """Two sessions that went well and one that did not, and the moment of the report."""
    relay = world.relay()
    for failure in ("", "", "certificate-expired"):
        relay.note(DOMAIN, STS, HOP, failure, "192.0.2.9")
    await relay.flush()
    world.now_s = float(due_at(DAY, DOMAIN))
    return relay


async def test_sessions_are_counted_over_all_relays(world: World) -> None:
    for _ in range(2):
        relay = world.relay(reporting=False)
        for failure in ("", "", "certificate-expired"):
            relay.note(DOMAIN, STS, HOP, failure, "192.0.2.9")
        await relay.flush()
        await relay.flush()

    assert sorted((await world.counted()).values()) == [b"2", b"4"]
    assert 0 < await world.client.ttl(world.key()) <= 4 * DAY_S


async def test_a_domain_that_wants_no_report_costs_nothing_in_redis(world: World) -> None:
    world.records.clear()
    relay = world.relay()
    relay.note(DOMAIN, STS, HOP, "")
    relay.note("[192.0.2.1]", STS, HOP, "")
    relay.note("other.example", NEVER, HOP, "")

    await relay.flush()

    assert world.asked == [f"_smtp._tls.{DOMAIN}"]
    assert [key async for key in world.client.scan_iter("*")] == []


async def test_a_domain_of_which_nobody_can_tell_is_counted(world: World) -> None:
    world.records[f"_smtp._tls.{DOMAIN}"] = DnsUnavailable(DOMAIN, "Timeout")
    relay = world.relay()
    relay.note(DOMAIN, STS, HOP, "")
    await relay.flush()

    assert list((await world.counted()).values()) == [b"1"]


async def test_a_report_has_a_bound_on_its_lines(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.relay.reporting.tls_reports.MAX_REPORT_LINES", 3)
    relay = world.relay()
    for number in range(10):
        relay.note(DOMAIN, STS, HOP, "validation-failure", f"192.0.2.{number}")
    await relay.flush()

    assert len(await world.counted()) == 3


async def test_the_report_of_a_day_comes_by_mail_signed_and_once(world: World) -> None:
    relay = await one_day(world)

    await asyncio.gather(relay.send_due(), world.relay().send_due(), world.relay().send_due())
    world.now_s += RETRY_MS / 1000
    await world.relay().send_due()

    (report,) = world.reports()
    assert report["organization-name"] == "Relay"
    assert report["policies"][0]["summary"] == {
        "total-successful-session-count": 2, "total-failure-session-count": 1,
    }  # fmt: skip
    assert report["policies"][0]["failure-details"][0]["receiving-ip"] == "192.0.2.1"
    (envelope,) = world.mails.envelopes
    assert envelope.mail.startswith("FROM:<tlsrpt@relay.example>")
    assert envelope.rcpts == ["TO:<reports@example.net>"]
    record = dkim_keys.record(PEM).encode()
    assert dkim.verify(envelope.message, dnsfunc=lambda name, timeout=5: record)
    assert await world.counted() == {}


async def test_a_report_is_not_sent_before_its_moment(world: World) -> None:
    relay = await one_day(world)
    world.now_s = float(due_at(DAY, DOMAIN) - 1)

    await relay.send_due()

    assert world.mails.envelopes == []


async def test_a_report_is_posted_where_the_domain_wants_that(world: World) -> None:
    url = f"https://reports.example.net:{world.web.port}/v1/tlsrpt"
    world.records[f"_smtp._tls.{DOMAIN}"] = [f"v=TLSRPTv1; rua={url}"]
    world.web.answers["/v1/tlsrpt"] = Answer(status=201)
    relay = await one_day(world)

    await relay.send_due()

    (request,) = world.web.requests
    assert (request.method, request.headers["Content-Type"]) == ("POST", "application/tlsrpt+gzip")
    assert json.loads(gzip.decompress(request.body))["policies"][0]["policy"]["policy-domain"] == DOMAIN
    assert await world.counted() == {}


async def test_who_has_the_report_does_not_get_it_again_when_it_is_tried_for_another(world: World) -> None:
    url = f"https://reports.example.net:{world.web.port}/v1/tlsrpt"
    world.records[f"_smtp._tls.{DOMAIN}"] = [f"v=TLSRPTv1; rua=mailto:reports@example.net,{url}"]
    world.web.answers["/v1/tlsrpt"] = Answer(status=503)
    relay = await one_day(world)
    await relay.send_due()

    await relay.send_due()  # at once: nobody tries
    await world.client.delete(keys.tls_report_lock(ids.name_partition(DOMAIN, PARTITIONS), DAY, DOMAIN))
    world.web.answers["/v1/tlsrpt"] = Answer(status=200)
    await relay.send_due()

    assert len(world.mails.envelopes) == 1
    assert len(world.web.requests) == 2
    assert await world.counted() == {}


async def test_a_report_that_cannot_be_sent_is_tried_for_a_day_and_dropped(world: World) -> None:
    world.mails.script["RCPT"] = ["450 4.2.0 later"]
    relay = await one_day(world)
    lock = keys.tls_report_lock(ids.name_partition(DOMAIN, PARTITIONS), DAY, DOMAIN)

    await relay.send_due()
    assert 0 < await world.client.pttl(lock) <= RETRY_MS
    assert await world.counted() != {}
    world.now_s += DAY_S - 1
    await world.client.delete(lock)
    await relay.send_due()
    assert await world.counted() != {}
    world.now_s += 1
    await world.client.delete(lock)
    await relay.send_due()

    assert await world.counted() == {}
    assert world.mails.envelopes == []


async def test_a_report_says_that_tls_fails_over_the_connection_where_it_fails(world: World) -> None:
    relay = world.relay()
    relay.note(DOMAIN, OPPORTUNISTIC, HOP, "starttls-not-supported")
    relay.note(DOMAIN, STS, HOP, "starttls-not-supported")
    await relay.flush()
    world.now_s = float(due_at(DAY, DOMAIN))

    await relay.send_due()

    (report,) = world.reports()
    assert [part["policy"]["policy-type"] for part in report["policies"]] == ["no-policy-found", "sts"]
    assert world.mails.encryptions == 0


async def test_a_domain_that_wants_no_report_any_more_gets_none(world: World) -> None:
    relay = await one_day(world)
    world.records.clear()

    await relay.send_due()

    assert world.mails.envelopes == []
    assert await world.counted() == {}


async def test_what_was_counted_is_in_redis_when_the_relay_has_stopped(world: World) -> None:
    stopping = asyncio.Event()
    relay = world.relay()
    running = asyncio.create_task(relay.run(stopping))
    await asyncio.sleep(0)
    relay.note(DOMAIN, STS, HOP, "")

    stopping.set()
    await running

    assert list((await world.counted()).values()) == [b"1"]
