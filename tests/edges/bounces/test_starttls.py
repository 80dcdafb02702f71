"""STARTTLS where mail comes back: what is encrypted, what came before it, whose certificate, and what fails."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiosmtplib
import pytest
import uvloop
from prometheus_client import REGISTRY

from services.bounces.certificate import Certificate
from services.bounces.smtp import Listener
from services.settings import load
from shared.net.smtp_in import no_tls
from shared.process.settings import Settings, SettingsError
from shared.words import events
from tests.fakes.certificates import DAY, Authority, Issued
from tests.unit.bounces.parts import DOMAIN, RETURN_PATH, Desk, sample

BOUNCE = sample("postfix-user-unknown.eml")
LOOPS = [pytest.param(asyncio.new_event_loop, id="asyncio"), pytest.param(uvloop.new_event_loop, id="uvloop")]


def settings(**fields: str) -> Settings:
    told = {f"ESTAFETTE_BOUNCES_{name.upper()}": value for name, value in fields.items()}
    return load({"ESTAFETTE_BOUNCES_DOMAIN": DOMAIN, **told}, None)


def named(issued: Issued, folder: Path) -> Settings:
    certificate, key = issued.write(folder)
    return settings(certificate=certificate, key=key)


def told(outcome: str) -> float:
    return REGISTRY.get_sample_value("estafette_bounces_starttls_total", {"outcome": outcome}) or 0.0


@asynccontextmanager
async def listening(desk: Desk, certificate: Certificate | None) -> AsyncIterator[Listener]:
    listener = Listener(desk.bounces, "127.0.0.1", 0, DOMAIN, tls=certificate.context if certificate else no_tls)
    await listener.open()
    try:
        yield listener
    finally:
        await listener.close()


def trusting(authority: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=authority.pem)


async def deliver(port: int, context: ssl.SSLContext, host: str = DOMAIN) -> None:
    client = aiosmtplib.SMTP(hostname="127.0.0.1", port=port, start_tls=False)
    await client.connect()
    await client.ehlo()
    await client.starttls(server_hostname=host, tls_context=context)
    await client.sendmail("", [RETURN_PATH], BOUNCE)
    await client.quit()


def anybody() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


@pytest.mark.parametrize("loop", LOOPS)
def test_a_report_is_taken_under_the_certificate_of_the_settings(loop: object, tmp_path: Path) -> None:
    authority, desk = Authority(), Desk()
    before = told("done")

    async def bring() -> None:
        certificate = Certificate(named(authority.issue(DOMAIN), tmp_path))
        async with listening(desk, certificate) as listener:
            await deliver(listener.port, trusting(authority))

    with asyncio.Runner(loop_factory=loop) as runner:  # type: ignore[arg-type]
        runner.run(bring())

    assert [type(fact) for fact in desk.bus.facts] == [events.Bounced]
    assert told("done") == before + 1


async def test_without_one_a_certificate_is_made_that_keeps_out_who_listens() -> None:
    desk = Desk()

    async with listening(desk, Certificate(settings())) as listener:
        await deliver(listener.port, anybody())
        with pytest.raises(ssl.SSLCertVerificationError):
            await deliver(listener.port, ssl.create_default_context())

    assert [type(fact) for fact in desk.bus.facts] == [events.Bounced]


async def test_it_is_offered_once_and_what_was_said_before_it_is_forgotten() -> None:
    async with listening(Desk(), Certificate(settings())) as listener:
        client = aiosmtplib.SMTP(hostname="127.0.0.1", port=listener.port, start_tls=False)
        await client.connect()
        offered = await client.ehlo()
        await client.mail("person@elsewhere.test")
        await client.starttls(tls_context=anybody(), validate_certs=None)
        premature = await client.execute_command(b"RCPT", f"TO:<{RETURN_PATH}>".encode())
        again = await client.ehlo()
        second = await client.execute_command(b"STARTTLS")
        await client.quit()

    assert "STARTTLS" in offered.message
    assert "STARTTLS" not in again.message
    assert premature.code == 503
    assert second.code == 503


async def test_what_came_in_clear_behind_starttls_is_never_read_as_if_it_were_encrypted() -> None:
    desk = Desk()
    context = anybody()

    async with listening(desk, Certificate(settings())) as listener:
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        await reader.readline()
        injected = f"EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<{RETURN_PATH}>\r\nDATA\r\n".encode()
        writer.write(b"EHLO host.test\r\nSTARTTLS\r\n" + injected)
        while not (await reader.readline()).startswith(b"220 2.0.0"):
            pass
        await writer.start_tls(context)
        writer.write(b"NOOP\r\nMAIL FROM:<>\r\n")
        first, second = await reader.readline(), await reader.readline()
        writer.close()

    assert first.startswith(b"250")
    assert second.startswith(b"503")  # nobody has greeted since
    assert desk.bus.facts == []


async def test_a_handshake_that_fails_ends_the_session_and_gives_its_place_back() -> None:
    before = told("failed")

    async with listening(Desk(), Certificate(settings())) as listener:
        for _ in range(60):  # more than there are sessions
            reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
            await reader.readline()
            writer.write(b"STARTTLS\r\n")
            assert (await reader.readline()).startswith(b"220")
            writer.write(b"this is no handshake at all\r\n" * 20)
            rest = await reader.read()
            writer.close()
            assert b"250" not in rest
        await deliver(listener.port, anybody())

    assert told("failed") == before + 60


async def test_a_peer_that_goes_in_the_middle_of_it_leaves_nothing_behind() -> None:
    desk = Desk()

    async with listening(desk, Certificate(settings())) as listener:
        for _ in range(20):
            reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
            await reader.readline()
            writer.write(b"STARTTLS\r\n")
            await reader.readline()
            writer.transport.abort()
        await deliver(listener.port, anybody())

    assert len(desk.bus.facts) == 1


async def test_a_listener_without_a_certificate_offers_nothing() -> None:
    async with listening(Desk(), None) as listener:
        client = aiosmtplib.SMTP(hostname="127.0.0.1", port=listener.port, start_tls=False)
        await client.connect()
        offered = await client.ehlo()
        refused = await client.execute_command(b"STARTTLS")
        await client.quit()

    assert "STARTTLS" not in offered.message
    assert refused.code == 454


async def test_a_certificate_that_was_renewed_is_shown_from_the_next_session_on(tmp_path: Path) -> None:
    authority, desk = Authority(), Desk()
    first, second = tmp_path / "1", tmp_path / "2"
    first.mkdir()
    second.mkdir()
    certificate = Certificate(named(authority.issue("other.example"), first))

    async with listening(desk, certificate) as listener:
        with pytest.raises(ssl.SSLCertVerificationError):
            await deliver(listener.port, trusting(authority))
        prepared = certificate.prepare(named(authority.issue(DOMAIN), second))
        with pytest.raises(ssl.SSLCertVerificationError):
            await deliver(listener.port, trusting(authority))
        await prepared.apply()
        await deliver(listener.port, trusting(authority))
        unchanged = certificate.prepare(
            settings(certificate=str(second / "certificate.pem"), key=str(second / "key.pem"))
        )

    assert len(prepared.changes) == 1
    assert list(unchanged.changes) == []
    assert len(desk.bus.facts) == 1


def test_what_is_wrong_with_its_files_is_told(tmp_path: Path) -> None:
    authority = Authority()
    good, other = authority.issue(DOMAIN), authority.issue(DOMAIN)
    certificate, key = good.write(tmp_path)
    over = tmp_path / "over.pem"
    past = authority.issue(DOMAIN, valid=(-2 * DAY, -DAY))
    over.write_text(past.pem + past.key_pem)
    wrong_key, nothing = tmp_path / "wrong.pem", tmp_path / "nothing.pem"
    wrong_key.write_text(other.key_pem)
    nothing.write_text("hello")
    running = Certificate(settings(certificate=certificate, key=key))
    faults = {
        "missing": settings(certificate=str(tmp_path / "missing"), key=key),
        "there is no certificate in it": settings(certificate=str(nothing), key=key),
        "not the key of": settings(certificate=certificate, key=str(wrong_key)),
        "it was valid until": settings(certificate=str(over)),
    }

    for said, wrong in faults.items():
        with pytest.raises(SettingsError, match=said):
            Certificate(wrong)
        with pytest.raises(SettingsError, match=said):
            running.prepare(wrong)
