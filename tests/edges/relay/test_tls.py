"""Each way in which encryption may fail, against real servers: what policy forbids to send in clear is not sent."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from services.relay.delivery.connection import Connection
from services.relay.delivery.dial import Timeouts, load_certificates
from services.relay.words.reply import ConnectFailed
from services.relay.words.tls import (
    NEVER,
    OPPORTUNISTIC,
    REQUIRED,
    Tlsa,
    TlsPolicy,
)
from tests.fakes.certificates import DAY, Authority, Issued
from tests.fakes.smtp_server import CLOSE, EXTENSIONS, RESET, SILENT, Script, SmtpServer

MESSAGE = b"Subject: hello\r\n\r\nhello\r\n"
AUTHORITY = Authority()
HOST = "mx.example.net"
GOOD = AUTHORITY.issue(HOST)
VERIFIED = TlsPolicy("verified", "mta-sts")
TESTING = TlsPolicy("opportunistic", "mta-sts", testing=True)
OFFERED = (*EXTENSIONS, "STARTTLS")


def named(issued: Issued) -> TlsPolicy:
    return TlsPolicy("dane", "dane", (HOST,), (Tlsa(3, 1, 1, sha256(issued.spki).digest()),))


def below(authority: Authority, *names: str) -> TlsPolicy:
    return TlsPolicy("dane", "dane", names or (HOST,), (Tlsa(2, 0, 1, sha256(authority.der).digest()),))


@pytest.fixture(scope="module")
def ca_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    return AUTHORITY.write(tmp_path_factory.mktemp("ca"))


@asynccontextmanager
async def connected(
    policy: TlsPolicy, server: SmtpServer, ca_file: str = "", host: str = HOST, **options: Any
) -> AsyncIterator[Connection]:
    connection = await Connection.open(
        host, server.port, address="127.0.0.1", helo="relay.example", tls=policy, ca_file=ca_file,
        timeouts=options.pop("timeouts", Timeouts(quit=1)), **options,
    )  # fmt: skip
    try:
        yield connection
    finally:
        await connection.close()


async def refused(policy: TlsPolicy, server: SmtpServer, ca_file: str = "", **options: Any) -> ConnectFailed:
    """How it failed; nothing of a mail was said, and nothing in clear but the greeting."""
    with pytest.raises(ConnectFailed) as failed:
        async with connected(policy, server, ca_file, **options):
            pass
    assert failed.value.stage == "tls"
    assert {command.split()[0] for command in server.commands} <= {"EHLO", "STARTTLS"}
    assert server.connections == 1
    return failed.value


STRICT = [REQUIRED, VERIFIED, named(GOOD), TlsPolicy("required", "shaping", testing=True)]
strict = pytest.mark.parametrize("policy", STRICT, ids=["required", "verified", "dane", "required, tested"])


# What works


@pytest.mark.parametrize(
    ("policy", "word"),
    [
        (OPPORTUNISTIC, "opportunistic"),
        (REQUIRED, "required"),
        (VERIFIED, "mta-sts"),
        (TESTING, "opportunistic"),
        (named(GOOD), "dane"),
        (below(AUTHORITY), "dane"),
        (below(AUTHORITY, "example.org", HOST), "dane"),
    ],
)
async def test_a_connection_tells_what_was_negotiated_and_why(policy: TlsPolicy, word: str, ca_file: str) -> None:
    async with SmtpServer(tls=GOOD.server_context()) as server, connected(policy, server, ca_file) as connection:
        assert connection.tls == "TLSv1.3"
        assert connection.tls_cipher.startswith("TLS_")
        assert connection.tls_policy == word
        assert connection.tls_failure == ""
        assert (await connection.send("b@bounces.example", "ana@example.net", MESSAGE)).code == 250
        assert server.connections == 1


async def test_an_older_version_is_told_as_it_is() -> None:
    context = GOOD.server_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    async with SmtpServer(tls=context) as server, connected(named(GOOD), server) as connection:
        assert connection.tls == "TLSv1.2"
        assert connection.tls_cipher.startswith("ECDHE-ECDSA-")


async def test_what_may_not_be_encrypted_is_not() -> None:
    async with SmtpServer(tls=GOOD.server_context()) as server, connected(NEVER, server) as connection:
        assert (connection.tls, connection.tls_cipher, connection.tls_policy) == (None, "", "none")
        assert server.encryptions == 0


async def test_a_name_may_be_covered_by_a_wildcard(ca_file: str) -> None:
    context = AUTHORITY.issue("*.example.net").server_context()
    async with SmtpServer(tls=context) as server, connected(VERIFIED, server, ca_file) as connection:
        assert connection.tls == "TLSv1.3"


# What fails, and must


@strict
@pytest.mark.parametrize("extensions", [EXTENSIONS, ()])
async def test_a_host_without_starttls_gets_nothing(
    policy: TlsPolicy, extensions: tuple[str, ...], ca_file: str
) -> None:
    async with SmtpServer(extensions=extensions) as server:
        failed = await refused_twice(policy, server, ca_file)

    assert failed.tls_failure == "starttls-not-supported"


async def refused_twice(policy: TlsPolicy, server: SmtpServer, ca_file: str, **options: Any) -> ConnectFailed:
    """As `refused`; a policy that is tested is tried without it once more."""
    with pytest.raises(ConnectFailed) as failed:
        async with connected(policy, server, ca_file, **options):
            pass
    assert failed.value.stage == "tls"
    assert {command.split()[0] for command in server.commands} <= {"EHLO", "STARTTLS"}
    assert server.connections == 1 + policy.testing
    assert server.encryptions == 0
    return failed.value


@strict
async def test_starttls_that_was_taken_out_on_the_way_is_missed(policy: TlsPolicy, ca_file: str) -> None:
    stripped = "250-fake.example\n250-PIPELINING\n250 XXXXXXXA"
    async with SmtpServer({"EHLO": stripped}, tls=GOOD.server_context()) as server:
        failed = await refused_twice(policy, server, ca_file)

    assert failed.tls_failure == "starttls-not-supported"


@strict
async def test_a_refused_starttls_ends_it(policy: TlsPolicy, ca_file: str) -> None:
    async with SmtpServer({"STARTTLS": "454 4.7.0 TLS not available"}, extensions=OFFERED) as server:
        failed = await refused_twice(policy, server, ca_file)

    assert failed.tls_failure == "validation-failure"
    assert failed.reply is not None
    assert failed.reply.line == "454 4.7.0 TLS not available"


@strict
@pytest.mark.parametrize("step", [b"this is not TLS\r\n", CLOSE, RESET, SILENT])
async def test_a_failed_handshake_ends_it(policy: TlsPolicy, step: Any, ca_file: str) -> None:
    script: Script = {"STARTTLS": ("220 go ahead", step, CLOSE)}
    async with SmtpServer(script, extensions=OFFERED) as server:
        failed = await refused_twice(policy, server, ca_file, timeouts=Timeouts(quit=1, tls=0.3))

    assert failed.tls_failure == "validation-failure"
    assert failed.reason


async def test_a_version_that_nobody_should_use_any_more_is_a_failed_handshake(ca_file: str) -> None:
    context = GOOD.server_context()
    context.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256")  # and its key is no RSA key
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    async with SmtpServer(tls=context) as server:
        assert (await refused(VERIFIED, server, ca_file)).tls_failure == "validation-failure"


@pytest.mark.parametrize(
    ("issued", "failure"),
    [
        (AUTHORITY.issue("other.example.net"), "certificate-host-mismatch"),
        (AUTHORITY.issue("mx.example.net.evil.example"), "certificate-host-mismatch"),
        (AUTHORITY.issue(common_name=HOST), "certificate-host-mismatch"),
        (AUTHORITY.issue(HOST, valid=(-10 * DAY, -timedelta(minutes=1))), "certificate-expired"),
        (AUTHORITY.issue(HOST, valid=(DAY, 10 * DAY)), "certificate-expired"),
        (Authority().issue(HOST), "certificate-not-trusted"),
    ],
    ids=["wrong name", "longer name", "common name", "expired", "not yet", "unknown authority"],
)
async def test_a_certificate_that_proves_nothing_is_refused_where_it_has_to(
    issued: Issued, failure: str, ca_file: str
) -> None:
    async with SmtpServer(tls=issued.server_context()) as server:
        assert (await refused(VERIFIED, server, ca_file)).tls_failure == failure

    async with SmtpServer(tls=issued.server_context()) as server, connected(REQUIRED, server, ca_file) as connection:
        assert connection.tls == "TLSv1.3"


async def test_an_authority_that_only_we_know_is_unknown_without_its_file() -> None:
    async with SmtpServer(tls=GOOD.server_context()) as server:
        assert (await refused(VERIFIED, server)).tls_failure == "certificate-not-trusted"


@pytest.mark.parametrize(
    ("policy", "failure"),
    [
        (named(AUTHORITY.issue(HOST)), "certificate-not-trusted"),
        (below(Authority()), "certificate-not-trusted"),
        (below(AUTHORITY, "mx.other.example"), "certificate-host-mismatch"),
    ],
    ids=["another leaf", "another authority", "another name"],
)
async def test_a_certificate_that_no_tlsa_record_names_is_refused_before_anything_is_said(
    policy: TlsPolicy, failure: str, ca_file: str
) -> None:
    async with SmtpServer(tls=GOOD.server_context()) as server:
        assert (await refused(policy, server, ca_file)).tls_failure == failure
        assert [command.split()[0] for command in server.commands] == ["EHLO", "STARTTLS"]


async def test_a_named_leaf_needs_neither_dates_nor_names_nor_authority() -> None:
    issued = Authority().issue("somebody.else.example", valid=(-10 * DAY, -DAY))
    async with SmtpServer(tls=issued.server_context()) as server, connected(named(issued), server) as connection:
        assert connection.tls_policy == "dane"


# What goes on in clear


@pytest.mark.parametrize("policy", [OPPORTUNISTIC, TESTING])
@pytest.mark.parametrize(
    ("script", "extensions", "failure", "reason"),
    [
        ({}, EXTENSIONS, "starttls-not-supported", "does not offer"),
        ({"STARTTLS": "454 4.7.0 TLS not available, id 7"}, OFFERED, "validation-failure", "454 4.7.0"),
        ({"STARTTLS": ("220 go ahead", b"this is not TLS\r\n", CLOSE)}, OFFERED, "validation-failure", ""),
    ],
)
async def test_an_opportunistic_one_goes_on_in_clear_and_says_why(
    policy: TlsPolicy, script: Script, extensions: tuple[str, ...], failure: str, reason: str, ca_file: str
) -> None:
    async with SmtpServer(script, extensions=extensions) as server, connected(policy, server, ca_file) as connection:
        assert (connection.tls, connection.tls_cipher, connection.tls_policy) == (None, "", "opportunistic")
        assert connection.tls_failure == failure
        assert connection.tls_reason
        assert reason in connection.tls_reason
        assert "id 7" not in connection.tls_reason
        assert (await connection.send("b@bounces.example", "ana@example.net", MESSAGE)).code == 250


@pytest.mark.parametrize(
    ("issued", "failure"),
    [
        (AUTHORITY.issue("other.example.net"), "certificate-host-mismatch"),
        (Authority().issue(HOST), "certificate-not-trusted"),
    ],
)
async def test_a_policy_that_is_only_tested_is_reported_and_delivered(
    issued: Issued, failure: str, ca_file: str
) -> None:
    async with (
        SmtpServer(tls=issued.server_context()) as server,
        connected(TESTING, server, ca_file) as connection,
    ):
        assert connection.tls == "TLSv1.3"
        assert connection.tls_failure == failure
        assert (await connection.send("b@bounces.example", "ana@example.net", MESSAGE)).code == 250
        assert server.connections == 2


# Our own certificate


async def test_a_host_that_asks_who_we_are_is_shown_our_certificate(tmp_path: Path) -> None:
    ours = AUTHORITY.issue("relay.example")
    context = GOOD.server_context()
    context.load_verify_locations(cadata=AUTHORITY.pem)
    context.verify_mode = ssl.CERT_REQUIRED
    async with (
        SmtpServer(tls=context) as server,
        connected(REQUIRED, server, client_certificate=ours.write(tmp_path)) as connection,
    ):
        assert (await connection.send("b@bounces.example", "ana@example.net", MESSAGE)).code == 250
        assert server.client_certificates == [ours.der]


async def test_a_host_that_wants_a_certificate_and_gets_none_is_a_failure() -> None:
    context = GOOD.server_context()
    context.load_verify_locations(cadata=AUTHORITY.pem)
    context.verify_mode = ssl.CERT_REQUIRED
    async with SmtpServer(tls=context) as server:
        assert (await refused(REQUIRED, server)).tls_failure == "validation-failure"


async def test_a_host_that_refuses_our_certificate_after_the_handshake_gets_it_in_clear_if_that_may_be() -> None:
    context = GOOD.server_context()
    context.load_verify_locations(cadata=AUTHORITY.pem)
    context.verify_mode = ssl.CERT_REQUIRED
    async with SmtpServer(tls=context) as server, connected(OPPORTUNISTIC, server) as connection:
        assert connection.tls is None
        assert connection.tls_failure == "validation-failure"


@pytest.mark.parametrize("fault", ["missing", "garbage", "key of another"])
def test_files_that_are_missing_or_wrong_are_told_before_the_first_connection(tmp_path: Path, fault: str) -> None:
    certificate, key = AUTHORITY.issue("relay.example").write(tmp_path)
    match fault:
        case "missing":
            Path(certificate).unlink()
        case "garbage":
            Path(certificate).write_text("garbage")
        case _:
            Path(key).write_text(AUTHORITY.issue("relay.example").key_pem)

    with pytest.raises(ValueError, match=r"tls\.client_certificate, tls\.client_key: "):
        load_certificates("", (certificate, key))
    if fault != "key of another":
        with pytest.raises(ValueError, match=r"tls\.ca_file: "):
            load_certificates(certificate, None)


def test_files_that_are_right_are_loaded(tmp_path: Path) -> None:
    load_certificates(AUTHORITY.write(tmp_path), AUTHORITY.issue("relay.example").write(tmp_path))
    load_certificates("", None)
