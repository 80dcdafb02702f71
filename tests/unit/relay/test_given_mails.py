"""A mail that came whole leaves as it came: its header, its text, our links, and a signature that holds."""

from email import message_from_bytes
from email.policy import default

import dkim
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.queueing.given import ONCE, Given, read
from services.relay.signing import dkim as signing
from shared.mail.wire import END, wire_body
from shared.making.render import RenderedMail
from tests.fakes.rendering import RendererHere
from tests.unit.relay.test_render import BASE_URL, JOB, NOW_MS, RECORD, SIGNER, TOKENS, VERP, ready

HTML = (
    b"From: Chouette <news@exemple.fr>\r\nTo: Bo <bo@exemple.fr>,\r\n\tana@exemple.com\r\nSubject: Deux  blancs \r\n"
    b'Content-Type: text/html\r\n\r\n<p>{{ prenom }}</p>\r\n<a href="https://a.fr/">A</a>\r\n'
)


def made(raw: bytes, *, untracked: bool = False, complaints: bool = False) -> RenderedMail:
    found = read(raw)
    assert isinstance(found, Given), found
    renderer = RendererHere(
        found.compiled,
        job=JOB,
        tenant="demo",
        tokens=TOKENS,
        verp=VERP,
        base_url=BASE_URL,
        marks_key=b"chance",
        bounce_domain="bounces.exemple.fr",
        sender_id="estafette",
    )
    return renderer.render(ready(untracked=untracked), NOW_MS, complaints=complaints)


def signed(mail: RenderedMail) -> bytes:
    return signing.sign([SIGNER], mail.headers, signing.relaxed_body(mail.body), NOW_MS // 1000)


def verifies(mail: RenderedMail) -> bool:
    whole = mail.assemble(signed(mail))
    on_the_wire = wire_body(whole).removesuffix(END).replace(b"\r\n..", b"\r\n.")
    return bool(dkim.verify(on_the_wire, dnsfunc=lambda name, timeout=5: RECORD))


def test_its_own_fields_come_first_as_they_stand_and_what_is_missing_behind_them() -> None:
    mail = made(HTML)

    assert [name.decode() for name, _ in mail.headers] == [
        "From", "To", "Subject", "Content-Type", "Content-Transfer-Encoding", "Date", "Message-ID", "Feedback-ID",
    ]  # fmt: skip
    assert dict(mail.headers)[b"To"] == b"Bo <bo@exemple.fr>,\r\n\tana@exemple.com"
    assert dict(mail.headers)[b"Subject"] == b"Deux  blancs "
    assert verifies(mail)


def test_its_own_date_and_name_stay() -> None:
    mail = made(b"Date: Mon, 1 Jan 2024 00:00:00 +0000\r\nMessage-Id: <mine@exemple.fr>\r\n" + HTML)

    assert [name for name, _ in mail.headers].count(b"Date") == 1
    assert dict(mail.headers)[b"Message-Id"] == b"<mine@exemple.fr>"
    assert b"Message-ID" not in dict(mail.headers)


def test_links_are_tracked_for_who_is() -> None:
    tracked = message_from_bytes(made(HTML).assemble(), policy=default).get_content()
    plain = message_from_bytes(made(HTML, untracked=True).assemble(), policy=default).get_content()

    assert f'<a href="{BASE_URL}/c/' in tracked
    assert f'<img src="{BASE_URL}/o/' in tracked
    assert plain == '<p>{{ prenom }}</p>\r\n<a href="https://a.fr/">A</a>\r\n'


def test_of_a_bulk_mail_the_ways_to_leave_and_to_complain_are_ours() -> None:
    mail = made(b"List-Unsubscribe: <https://x.fr/>\r\n" + HTML, complaints=True)

    fields = dict(mail.headers)
    assert fields[b"List-Unsubscribe"].startswith(f"<{BASE_URL}/u/".encode())
    assert fields[b"List-Unsubscribe-Post"] == b"List-Unsubscribe=One-Click"
    assert b"CFBL-Address" in fields
    assert verifies(mail)


def test_one_in_utf_8_asks_for_smtputf8() -> None:
    assert made(HTML.replace(b"Bo <", "Zoé <".encode())).smtputf8
    assert not made(HTML).smtputf8


def test_every_signed_field_stands_there_once() -> None:
    """Else the signature would be of another one than is read."""
    assert {name.decode() for name in signing.SIGNED} <= ONCE | {"feedback-id", "cfbl-address", "cfbl-feedback-id"}


@settings(deadline=None)
@given(st.lists(st.sampled_from(["a", " ", "\t", "\r\n", "  \r\n", ".", ".\r\n", "é", "=", "\r\n\r\n"]), max_size=12))
def test_any_body_is_signed_as_it_is_read(pieces: list[str]) -> None:
    raw = b"From: news@exemple.fr\r\nSubject: a\r\n\r\n" + "".join(pieces).encode()

    assert verifies(made(raw))


@pytest.mark.parametrize(
    ("body", "relaxed"),
    [
        (b"", b""),
        (b"\r\n\r\n", b""),
        (b" \t\r\n", b""),
        (b"a  b\t \r\n\r\n \r\n", b"a b\r\n"),
        (b"a", b"a\r\n"),
        (b"a \t", b"a\r\n"),
        (b"\r\n a", b"\r\n a\r\n"),
    ],
)
def test_a_body_in_relaxed_form(body: bytes, relaxed: bytes) -> None:
    assert signing.relaxed_body(body) == relaxed
