"""The envelope of a mail that came without one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.bounces import envelope
from services.bounces.bounces import Accepted
from services.bounces.mail import Fields
from tests.unit.bounces.parts import DOMAIN, RETURN_PATH, UNSUBSCRIBE, Desk


def accepts(address: str) -> Accepted | None:
    return Desk().bounces.accepts(address)


def header(*pairs: tuple[str, str]) -> Fields:
    return Fields(pairs)


@pytest.mark.parametrize(
    ("pairs", "found"),
    [
        ([("delivered-to", RETURN_PATH)], [RETURN_PATH]),
        ([("x-original-to", RETURN_PATH.upper()), ("delivered-to", "virtual@host.example")], [RETURN_PATH]),
        ([("envelope-to", f"a@b.example, {RETURN_PATH}, {UNSUBSCRIBE}")], [RETURN_PATH, UNSUBSCRIBE]),
        ([("delivered-to", "somebody@host.example"), ("to", f"<{UNSUBSCRIBE}>")], [UNSUBSCRIBE]),
        ([("delivered-to", f"abuse@{DOMAIN}"), ("to", "fbl@elsewhere.example")], [f"abuse@{DOMAIN}"]),
        ([("delivered-to", f"postmaster@{DOMAIN}"), ("to", RETURN_PATH)], [RETURN_PATH]),
        ([("to", "ana@example.fr"), ("subject", RETURN_PATH)], [envelope.NOBODY]),
        ([], [envelope.NOBODY]),
    ],
)
def test_what_we_signed_is_taken_first_then_what_everybody_knows(
    pairs: list[tuple[str, str]], found: list[str]
) -> None:
    assert list(envelope.recipients(header(*pairs), accepts)) == found


@pytest.mark.parametrize(
    ("pairs", "sender"),
    [
        ([("return-path", "<>"), ("from", "ana@example.fr")], ""),
        ([("return-path", "<ana@example.fr>")], "ana@example.fr"),
        ([("return-path", "ana@example.fr"), ("return-path", "<>")], "ana@example.fr"),
        ([("from", "Ana <ana@example.fr>")], "ana@example.fr"),
        ([("from", "Mailer Daemon")], envelope.UNKNOWN),
        ([], envelope.UNKNOWN),
    ],
)
def test_a_sender_that_was_not_noted_is_not_the_null_one(pairs: list[tuple[str, str]], sender: str) -> None:
    assert envelope.sender(header(*pairs)) == sender


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_only_the_header_is_read(line_end: bytes) -> None:
    raw = line_end.join((b"Delivered-To: a@b.example", b"Subject: x", b"", b"Delivered-To: c@d.example", b"", b"end"))

    assert envelope.fields(raw).pairs == (("delivered-to", "a@b.example"), ("subject", "x"))


@given(st.binary(max_size=2_000))
def test_whatever_the_bytes_are_there_is_an_envelope(raw: bytes) -> None:
    found = envelope.fields(raw)

    assert envelope.recipients(found, accepts)
    assert isinstance(envelope.sender(found), str)
