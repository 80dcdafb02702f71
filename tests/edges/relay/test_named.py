"""Named routes against real servers: a login under encryption that is proved, and what is told when it fails."""

import ssl
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from services.relay.delivery.connection import Connection
from services.relay.delivery.dial import Timeouts
from services.relay.delivery.named import Doors, NamedRoute
from services.relay.traffic.egress import Source
from services.relay.traffic.smarthosts import Smarthost
from services.relay.words.hop import Hop, NoRoute
from services.relay.words.reply import ConnectFailed
from shared.process.routing import Route
from tests.fakes.certificates import Authority
from tests.fakes.smtp_server import EXTENSIONS, Script, SmtpServer

MESSAGE = b"Subject: hello\r\n\r\nhello\r\n"
AUTHORITY = Authority()
HOST = "localhost"
GOOD, OTHER = AUTHORITY.issue(HOST), AUTHORITY.issue("mx.example.net")
PASSWORD = "hunter2 \N{LATIN SMALL LETTER E WITH ACUTE}"
PLAIN = b64encode(b"\0ana\0" + PASSWORD.encode()).decode()
SITE = "route:out"


@pytest.fixture(scope="module")
def ca_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    return AUTHORITY.write(tmp_path_factory.mktemp("ca"))


def server(
    script: Script | None = None, methods: str = "PLAIN LOGIN", tls: ssl.SSLContext | None = None, **options: Any
) -> SmtpServer:
    return SmtpServer(script, extensions=(*EXTENSIONS, f"AUTH {methods}"), tls=tls or GOOD.server_context(), **options)


class Way:
    """A named route and its door; `clock` in seconds."""

    def __init__(self, to: SmtpServer, ca_file: str, tls: str = "required", **route: Any) -> None:
        self.route = Route("out", HOST, to.port, tls, **{"username": "ana", "password_file": "f", **route})  # type: ignore[arg-type]
        self.known = {SITE: Smarthost(self.route, PASSWORD)}
        self.clock = 0.0
        self._ca_file = ca_file
        self.doors = Doors(lambda: self.known, self._open, lambda: self.clock)

    async def _open(self, site: str, hop: Hop, source: Source, smarthost: Smarthost | None) -> Connection:
        return await Connection.open(
            hop.host, hop.port, address="127.0.0.1", helo="relay.example", tls=hop.tls, ca_file=self._ca_file,
            login=smarthost.login if smarthost else None, implicit=hop.implicit, timeouts=Timeouts(quit=1),
        )  # fmt: skip

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Connection]:
        hops = await NamedRoute(SITE, lambda: self.known).hops("example.org")
        assert not isinstance(hops, NoRoute)
        connection = await self.doors.open(SITE, hops[0], Source("default"))
        try:
            yield connection
        finally:
            await connection.close()

    async def failed(self) -> ConnectFailed:
        with pytest.raises(ConnectFailed) as failed:
            async with self.opened():
                pass
        return failed.value


def counted(phase: str) -> float:
    return REGISTRY.get_sample_value("estafette_relay_route_failures_total", {"route": "out", "phase": phase}) or 0


@pytest.mark.parametrize("tls", ["required", "implicit"])
async def test_a_route_logs_in_under_encryption_and_mails(tls: str, ca_file: str) -> None:
    async with server(implicit=tls == "implicit") as host, Way(host, ca_file, tls).opened() as connection:
        assert connection.tls == "TLSv1.3"
        assert connection.tls_policy == "required"
        assert (await connection.send("b@bounces.example", "ana@example.net", MESSAGE)).code == 250
        assert f"AUTH PLAIN {PLAIN}" in host.commands
        assert len(host.envelopes) == 1


async def test_a_host_that_knows_login_alone_is_told_it_so(ca_file: str) -> None:
    password = b64encode(PASSWORD.encode()).decode()
    script: Mapping[str, Any] = {"AUTH": "334 UGFzc3dvcmQ6", password.upper(): "235 2.7.0 welcome"}
    async with server(script, "LOGIN") as host, Way(host, ca_file).opened() as connection:
        assert connection.usable
        assert host.commands[-2:] == [f"AUTH LOGIN {b64encode(b'ana').decode()}", password]


@pytest.mark.parametrize("tls", ["never", "opportunistic"])
async def test_without_a_login_nothing_is_said_of_one(tls: str, ca_file: str) -> None:
    async with server() as host, Way(host, ca_file, tls, username="", password_file="").opened():
        assert not any(command.startswith("AUTH") for command in host.commands)
        assert host.encryptions == (tls == "opportunistic")


async def test_a_refused_login_is_counted_and_told_once_a_minute_without_the_password(ca_file: str) -> None:
    before = counted("auth")
    async with server({"AUTH": "535 5.7.8 Authentication credentials invalid"}) as host:
        way = Way(host, ca_file)
        with capture_logs() as lines:
            failed = await way.failed()
            await way.failed()
            way.clock = 61.0
            await way.failed()

    assert (failed.stage, failed.reply and failed.reply.code) == ("auth", 535)
    assert counted("auth") - before == 3
    assert [(line["event"], line["phase"], line["route"]) for line in lines] == [("route_failed", "auth", "out")] * 2
    assert PLAIN not in str(lines)
    assert "hunter2" not in str(lines) + str(failed) + repr(way.known)


@pytest.mark.parametrize("tls", ["required", "implicit"])
async def test_a_certificate_for_another_name_gets_no_password(tls: str, ca_file: str) -> None:
    async with server(tls=OTHER.server_context(), implicit=tls == "implicit") as host:
        failed = await Way(host, ca_file, tls).failed()

        assert (failed.stage, failed.tls_failure) == ("tls", "certificate-host-mismatch")
        assert not any(command.startswith("AUTH") for command in host.commands)


@pytest.mark.parametrize("tls", ["required", "implicit"])
async def test_an_authority_that_nobody_knows_gets_no_password(tls: str) -> None:
    async with server(implicit=tls == "implicit") as host:
        failed = await Way(host, "", tls).failed()

        assert (failed.stage, failed.tls_failure) == ("tls", "certificate-not-trusted")
        assert not any(command.startswith("AUTH") for command in host.commands)


async def test_a_host_that_offers_no_encryption_gets_nothing(ca_file: str) -> None:
    async with SmtpServer(extensions=(*EXTENSIONS, "AUTH PLAIN")) as host:
        failed = await Way(host, ca_file).failed()

        assert (failed.stage, failed.tls_failure) == ("tls", "starttls-not-supported")
        assert host.commands == ["EHLO relay.example"]


async def test_a_host_that_speaks_in_clear_where_tls_is_to_come_first_gets_nothing(ca_file: str) -> None:
    async with SmtpServer() as host:
        failed = await Way(host, ca_file, "implicit").failed()

        assert (failed.stage, failed.tls_failure) == ("tls", "validation-failure")
        assert not any(command.startswith(("EHLO", "AUTH")) for command in host.commands)


async def test_a_host_without_logins_is_not_mailed_without_one(ca_file: str) -> None:
    async with SmtpServer(tls=GOOD.server_context()) as host:
        failed = await Way(host, ca_file).failed()

    assert failed.stage == "auth"


async def test_the_mail_of_a_route_that_is_gone_waits() -> None:
    nowhere = await NamedRoute(SITE, dict).hops("example.org")

    assert isinstance(nowhere, NoRoute)
    assert (nowhere.reason, nowhere.final) == ("no_such_route", False)
    assert nowhere.text == "there is no route out in relay.routes_file any more"


async def test_what_was_read_again_meanwhile_is_not_dialled_by_the_former_login(ca_file: str) -> None:
    async with server() as host:
        way = Way(host, ca_file)
        old = way.known[SITE].hop
        way.known = {}
        with pytest.raises(ConnectFailed, match="another now"):
            await way.doors.open(SITE, old, Source("default"))

        assert host.connections == 0
