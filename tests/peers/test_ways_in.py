"""The ways in for what comes back, with real programs at the other end: swaks encrypts, Postfix delivers by LMTP and
into a Maildir, and curl's way by HTTP.

The report that Postfix writes about an address that it finds out later not to know goes the way of the test.
"""

import asyncio
import pwd
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from email import message_from_bytes, policy
from pathlib import Path

import pytest
import pytest_asyncio

from tests.fakes.certificates import Authority
from tests.flows.stack import Stack
from tests.peers import postfix, zone
from tests.peers.postfix import ADDRESS, Domains, Postfix
from tests.servers import need

pytestmark = pytest.mark.asyncio(loop_scope="module")

#: Bounces to it come by LMTP; what comes to the second lies in a Maildir.
DOMAIN = "bounces.test"
RECORDS = (
    f"mx1.peer.test. A {ADDRESS}",
    "peer.test. MX 10 mx1.peer.test.",
)


@dataclass(frozen=True)
class Ways:
    stack: Stack
    postfix: Postfix
    folder: Path
    authority: Authority

    @property
    def maildir(self) -> Path:
        return self.folder / "maildir"

    async def suppressed(self, address: str) -> str | None:
        status, answer = await self.stack.call("GET", f"/v1/suppressions/{address}")
        return str(answer["reason"]) if status == 200 else None


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Where users besides root get to: not below pytest's directory."""
    made = Path(tempfile.mkdtemp(prefix="estafette-ways-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ways(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ways]:
    authority = Authority()
    (folder / "tls").mkdir()
    certificate, key = authority.issue("old.example").write(folder / "tls")
    socket = folder / "lmtp"
    domains = Domains(accepting=("peer.test",), users=("ana@peer.test", "ben@peer.test"))
    with ExitStack() as started:
        served = started.enter_context(zone.serving("test", RECORDS))
        host = started.enter_context(postfix.running(domains, {DOMAIN: f"lmtp:unix:{socket}"}))
        environ = {
            "ESTAFETTE_RELAY_ROUTE": "mx",
            "ESTAFETTE_RELAY_PRIVATE_NETWORKS": "true",
            "ESTAFETTE_RELAY_MX_PORT": str(host.port),
            "ESTAFETTE_DNS_SERVERS": served.address,
            "ESTAFETTE_BOUNCES_DOMAIN": DOMAIN,
            "ESTAFETTE_BOUNCES_CERTIFICATE": certificate,
            "ESTAFETTE_BOUNCES_KEY": key,
            "ESTAFETTE_BOUNCES_LMTP": f"unix:{socket}",
            "ESTAFETTE_BOUNCES_MAILDIR": str(folder / "maildir"),
        }
        async with Stack.running(tmp_path_factory.mktemp("stack"), environ) as stack:
            yield Ways(stack, host, folder, authority)


async def swaks(port: int, *options: str) -> tuple[int | None, str]:
    command = [
        need("swaks"),
        "--server",
        "127.0.0.1",
        "--port",
        str(port),
        "--helo",
        "host.test",
        "--from",
        "<>",
        *options,
    ]
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed, _ = await process.communicate()
    return process.returncode, printed.decode(errors="replace")


async def return_path(ways: Ways, to: str) -> str:
    await ways.stack.send(to)
    stored = message_from_bytes(await asyncio.to_thread(ways.postfix.mail, to), policy=policy.default)
    return str(stored["Return-Path"]).strip("<>")


REPORT = """\
From: MAILER-DAEMON@mx.elsewhere.test
To: {to}
Subject: Undelivered Mail Returned to Sender
Content-Type: multipart/report; report-type=delivery-status; boundary=b

--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.elsewhere.test

Final-Recipient: rfc822; {about}
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 no such user here

--b--
"""


async def test_promise_4_postfix_brings_its_report_by_lmtp(ways: Ways) -> None:
    job_id = await ways.stack.send("nobody@peer.test")

    reason = await ways.stack.until(lambda: ways.suppressed("nobody@peer.test"))

    async def counted() -> bool:
        return "bounced" in await ways.stack.facts(f"{job_id}.0")

    assert reason == "hard_bounce"
    await ways.stack.until(counted)  # reports gather what they count
    assert "status=sent (250 2.0.0" in await asyncio.to_thread(
        ways.postfix.until, lambda: ways.postfix.log() if "lmtp[" in ways.postfix.log() else ""
    )


async def test_swaks_encrypts_verifies_and_sees_a_renewed_certificate_after_a_hangup(ways: Ways) -> None:
    to = await return_path(ways, "ana@peer.test")
    report = ways.folder / "report"
    report.write_text(REPORT.format(to=to, about="ana@peer.test"))
    trusted = ways.authority.write(ways.folder)
    verified = ("--to", to, "--tls", "--tls-verify", "--tls-ca-path", trusted, "--data", f"@{report}")

    code, transcript = await swaks(ways.stack.bounces_port, *verified, "--tls-sni", DOMAIN)
    before = ways.stack.logged("bounces", "reloaded")
    ways.authority.issue(DOMAIN).write(ways.folder / "tls")
    assert ways.stack._process is not None
    ways.stack._process.send_signal(signal.SIGHUP)

    async def reloaded() -> bool:
        return len(ways.stack.logged("bounces", "reloaded")) > len(before)

    await ways.stack.until(reloaded)
    again, renewed = await swaks(ways.stack.bounces_port, *verified)

    assert code == 0, transcript
    assert "TLS started with cipher TLSv1.3" in transcript
    assert await ways.stack.until(lambda: ways.suppressed("ana@peer.test")) == "hard_bounce"
    assert again == 0, renewed
    assert "old.example" not in renewed.split("TLS peer")[-1]
    [said] = ways.stack.logged("bounces", "reloaded")[len(before) :]
    assert said["changes"][0].startswith("bounces.certificate")


async def test_what_a_server_drops_into_the_maildir_is_taken(ways: Ways) -> None:
    to = await return_path(ways, "ben@peer.test")
    mail = f"Return-Path: <>\nX-Original-To: {to}\nDelivered-To: {to}\n" + REPORT.format(to=to, about="ben@peer.test")

    (ways.maildir / "tmp" / "1.host").write_text(mail)
    (ways.maildir / "tmp" / "1.host").rename(ways.maildir / "new" / "1.host")

    assert await ways.stack.until(lambda: ways.suppressed("ben@peer.test")) == "hard_bounce"

    async def gone() -> bool:
        return not list((ways.maildir / "new").iterdir())

    await ways.stack.until(gone)


async def test_a_pipe_of_a_mail_server_brings_it_by_http(ways: Ways) -> None:
    key = await ways.stack.new_key("front", "inbound")
    to = await return_path(ways, "ana@peer.test")
    about = REPORT.format(to=to, about="ana@peer.test").encode()
    headers = {"Content-Type": "message/rfc822"}

    status, answer = await ways.stack.call(
        "POST", "/v1/inbound", params={"recipient": to, "sender": "<>"}, data=about, headers=headers, key=key
    )
    with_another, _ = await ways.stack.call("POST", "/v1/inbound", data=about, headers=headers)

    assert (status, answer) == (200, {"taken": [to], "refused": []})
    assert with_another == 403


async def test_postfix_delivers_a_whole_domain_into_the_maildir(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The whole way back through a mail server's own delivery, with the fields that it notes the envelope in."""
    domains = Domains(accepting=("peer.test", DOMAIN), users=("ana@peer.test", f"@{DOMAIN}"))
    with ExitStack() as started:
        served = started.enter_context(zone.serving("test", RECORDS))
        host = started.enter_context(postfix.running(domains, {}))
        maildir = host.folder(f"@{DOMAIN}")
        for name in ("tmp", "new", "cur"):
            (maildir / name).mkdir(parents=True)
        owner = pwd.getpwnam("nobody")
        for one in (maildir.parent, maildir, *maildir.iterdir()):
            shutil.chown(one, owner.pw_uid, owner.pw_gid)
        environ = {
            "ESTAFETTE_RELAY_ROUTE": "mx",
            "ESTAFETTE_RELAY_PRIVATE_NETWORKS": "true",
            "ESTAFETTE_RELAY_MX_PORT": str(host.port),
            "ESTAFETTE_DNS_SERVERS": served.address,
            "ESTAFETTE_BOUNCES_DOMAIN": DOMAIN,
            "ESTAFETTE_BOUNCES_MAILDIR": str(maildir),
        }
        async with Stack.running(tmp_path_factory.mktemp("stack"), environ) as stack:
            await stack.send("nobody@peer.test")

            async def suppressed() -> bool:
                return (await stack.call("GET", "/v1/suppressions/nobody@peer.test"))[0] == 200

            assert await stack.until(suppressed)
            assert list((maildir / "new").iterdir()) == []
