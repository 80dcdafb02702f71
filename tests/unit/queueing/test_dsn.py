"""The report that a sender gets: as the standard library and our own reader of bounces read it."""

import re
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP, default
from typing import Any

import pytest
from hypothesis import given as generated
from hypothesis import strategies as st

from services.bounces import dsn as reader
from services.bounces import mail as mails
from services.queueing import dsn, dsn_wanted, given
from services.queueing.dsn_wanted import FAILURE, SUCCESS, Dsn, RecipientDsn
from shared.mail.wire import is_wire_ready
from shared.words import events
from shared.words.content import CompiledContent

ABOUT: dict[str, Any] = {"event_id": "e", "occurred_at": 0, "tenant": "acme", "job": "j", "ordinal": 0}
MAIL = (
    b"From: Chouette <news@exemple.fr>\r\nTo: ana@x.test\r\nSubject: Bonjour\r\nMessage-ID: <1@exemple.fr>\r\n"
    b'Content-Type: text/html; charset=utf-8\r\n\r\n<a href="https://exemple.fr/">\xc3\xa9</a>\r\n'
)
UNKNOWN = events.Bounced(
    **ABOUT, reply="550 5.1.1 User unknown", host="mx.x.test", reason="unknown_recipient", kind="hard"
)


def original(raw: bytes = MAIL) -> CompiledContent:
    read = given.read(raw)
    assert isinstance(read, given.Given)
    return read.compiled


def whole(end: dsn.End, raw: bytes = MAIL, **about: Any) -> bytes:
    told = dsn.told(end)
    assert told is not None
    fields = {"message": "m.0", "recipient": "ana@x.test", "sender": "app@exemple.fr", "reporting_mta": "mx.us.test"}
    found = dsn.returnable(original(raw), bool(about.get("is_full")))
    made = dsn.compiled(dsn.About(**(fields | about)), told, found)
    header = b"".join(b"%b: %b\r\n" % (name.encode(), value) for name, value in made.given)
    [body] = made.body
    assert isinstance(body, bytes)
    assert is_wire_ready(body)
    assert made.null_sender
    return header + b"\r\n" + body


def parts(raw: bytes) -> tuple[EmailMessage, list[EmailMessage]]:
    read = message_from_bytes(raw, policy=default)
    assert isinstance(read, EmailMessage)
    assert read.defects == []
    return read, list(read.iter_parts())  # type: ignore[arg-type]


def fields(part: EmailMessage) -> dict[str, str]:
    return {name: value for block in part.get_payload() for name, value in block.items()}  # type: ignore[union-attr]


def test_a_bounce_is_told_to_people_and_programs_with_the_header_of_the_mail() -> None:
    raw = whole(UNKNOWN, envelope_id="order 4711", original_recipient="rfc822;Ana+x@x.test")

    mail, (people, programs, returned) = parts(raw)
    assert mail.get_content_type() == "multipart/report"
    assert mail["content-type"].params["report-type"] == "delivery-status"
    assert (mail["from"], mail["to"]) == ("Mail Delivery System <MAILER-DAEMON@exemple.fr>", "app@exemple.fr")
    assert (mail["auto-submitted"], mail["subject"]) == ("auto-replied", "Not delivered: Bonjour")
    text = people.get_content().replace("\r\n", "\n")
    assert "Your mail to ana@x.test\ncould not be delivered" in text
    assert "550 5.1.1 User unknown" in text
    assert fields(programs) == {
        "Reporting-MTA": "dns; mx.us.test",
        "Original-Envelope-Id": "order 4711",
        "Original-Recipient": "rfc822; Ana+x@x.test",
        "Final-Recipient": "rfc822; ana@x.test",
        "Action": "failed",
        "Status": "5.1.1",
        "Remote-MTA": "dns; mx.x.test",
        "Diagnostic-Code": "smtp; 550 5.1.1 User unknown",
    }
    assert returned.get_content_type() == "text/rfc822-headers"
    assert "Message-ID: <1@exemple.fr>" in returned.get_content()


def test_our_own_reader_of_bounces_reads_it() -> None:
    found = reader.read(mails.read(whole(UNKNOWN, original_recipient="rfc822;first@x.test")))

    assert found is not None
    assert found.reporting_mta == "mx.us.test"
    [one] = found.recipients
    assert (one.action, one.status, one.final_recipient) == ("failed", "5.1.1", "ana@x.test")
    assert (one.original_recipient, one.remote_mta) == ("first@x.test", "mx.x.test")
    assert one.diagnostic == "550 5.1.1 User unknown"
    assert found.original.get("message-id") == "<1@exemple.fr>"


def test_all_of_a_small_mail_comes_back_as_its_sender_wrote_it() -> None:
    _, (_, _, returned) = parts(whole(UNKNOWN, is_full=True))

    assert returned.get_content_type() == "message/rfc822"
    inside = returned.get_content()
    assert inside.get_content().rstrip() == '<a href="https://exemple.fr/">é</a>'
    assert inside["subject"] == "Bonjour"


@pytest.mark.parametrize(
    ("end", "raw"),
    [
        (UNKNOWN, MAIL + b"x" * dsn_wanted.MAX_FULL_BYTES),
        (events.Delivered(**ABOUT, reply="250 2.6.0 queued"), MAIL),
    ],
)
def test_of_a_large_mail_and_of_one_that_went_on_the_header_alone_comes_back(end: dsn.End, raw: bytes) -> None:
    _, (_, _, returned) = parts(whole(end, raw, is_full=True))

    assert returned.get_content_type() == "text/rfc822-headers"


@pytest.mark.parametrize(
    ("end", "action", "status", "diagnostic"),
    [
        (events.Delivered(**ABOUT, reply="250 2.6.0 ok", host="mx.x.test"), "relayed", "2.6.0", "smtp; 250 2.6.0 ok"),
        (events.Delivered(**ABOUT, reply="250 ok", host="mx.x.test"), "relayed", "2.0.0", "smtp; 250 ok"),
        (events.Bounced(**ABOUT, reply="550 no", host="mx.x.test"), "failed", "5.0.0", "smtp; 550 no"),
        (
            events.Bounced(**ABOUT, reply="connection lost", host="mx"),
            "failed",
            "5.0.0",
            "X-Estafette; connection lost",
        ),
        (events.Bounced(**ABOUT, reply="", late=True), "failed", "5.0.0", None),
        (events.Expired(**ABOUT, reply="452 4.2.2 full", host="mx"), "failed", "4.4.7", "smtp; 452 4.2.2 full"),
        (events.Suppressed(**ABOUT, reason="complaint"), "failed", "5.7.1", "X-Estafette; suppressed: complaint"),
        (events.Rejected(**ABOUT, reason="no_mail_host"), "failed", "5.1.2", "X-Estafette; rejected: no_mail_host"),
        (events.Failed(**ABOUT, reason="render_failed"), "failed", "5.3.0", "X-Estafette; render_failed"),
        (events.Cancelled(**ABOUT, by="tenant"), "failed", "5.0.0", "X-Estafette; cancelled by tenant"),
    ],
)
def test_each_end_has_its_action_and_status(end: dsn.End, action: str, status: str, diagnostic: str | None) -> None:
    _, (_, programs, _) = parts(whole(end))

    found = fields(programs)
    assert (found["Action"], found["Status"], found.get("Diagnostic-Code")) == (action, status, diagnostic)


def test_who_stands_twice_has_one_end() -> None:
    assert dsn.told(events.Rejected(**ABOUT, reason="duplicate_address")) is None


@generated(st.text(max_size=1_000))
def test_whatever_a_host_says_the_report_is_one(said: str) -> None:
    raw = whole(events.Bounced(**ABOUT, reply=said, host=said))

    _, (_, programs, _) = parts(raw)
    assert {"Final-Recipient", "Action", "Status"} <= fields(programs).keys()
    assert len(list(programs.get_payload())) == 2


def test_addresses_and_headers_beyond_ascii_are_told_in_ascii() -> None:
    mail = EmailMessage(policy=SMTP.clone(utf8=True))
    mail["From"], mail["Subject"] = "Zoé <news@exemple.fr>", "Été"
    mail.set_content("Bonjour")

    raw = whole(UNKNOWN, mail.as_bytes(), recipient="zoé@x.test")

    assert raw.isascii()
    _, (people, programs, returned) = parts(raw)
    assert "zoé@x.test" in people.get_content()
    assert fields(programs)["Final-Recipient"] == "utf-8; zo\\x{E9}@x.test"
    assert returned.get_content_type() == "message/global-headers"
    found = reader.read(mails.read(raw))
    assert found is not None
    assert found.recipients[0].final_recipient == "zoé@x.test"


@pytest.mark.parametrize(
    ("address", "typed"),
    [
        ("zoé+a=b@x.test", "utf-8; zo\\x{E9}\\x{2B}a\\x{3D}b@x.test"),
        ("é\\b@x.test", "utf-8; \\x{E9}\\x{5C}b@x.test"),
        ("a+b=c@x.test", "rfc822; a+b=c@x.test"),
    ],
)
def test_an_address_is_written_as_its_type_has_it(address: str, typed: str) -> None:
    raw = whole(UNKNOWN, recipient=address)

    assert f"Final-Recipient: {typed}\r\n".encode() in raw
    found = reader.read(mails.read(raw))
    assert found is not None
    assert found.recipients[0].final_recipient == address


def test_what_is_no_address_stands_in_one_line() -> None:
    """It is told of as it was given."""
    _, (people, programs, _) = parts(whole(UNKNOWN, recipient="ana\r\n\r\nIt arrived.\nX: @"))

    assert "Your mail to ana It arrived. X: @" in people.get_content().splitlines()
    assert "X" not in fields(programs)


@pytest.mark.parametrize("word", ["x", "é"])
def test_of_a_long_header_what_names_the_mail_comes_back_and_what_fits(word: str) -> None:
    fill = "".join(f"X-Fill-{number}: {word * 400}\r\n" for number in range(100)).encode()

    raw = whole(UNKNOWN, fill + MAIL)

    returned = raw.rpartition(b"headers\r\n")[2]
    assert len(returned) <= dsn_wanted.MAX_HEADER_BYTES + 1_000
    found = re.findall(rb"^([\w-]+):", returned, re.MULTILINE)
    assert {b"X-Fill-0", b"X-Fill-1", b"From", b"Subject", b"Message-ID"} <= {*found}
    assert b"X-Fill-99" not in found


def test_the_reports_that_a_sender_is_owed_have_a_size() -> None:
    each = dsn_wanted.REPORT_BYTES
    of_two = dsn_wanted.packed(asked(["failure"], [], ["failure", "success"]))

    assert dsn_wanted.owed_bytes(b"", 500) == 0
    assert dsn_wanted.owed_bytes(of_two, 500) == 2 * (each + 500)
    assert dsn_wanted.owed_bytes(of_two, 10**6) == 2 * (each + dsn_wanted.MAX_HEADER_BYTES)
    full = dsn_wanted.packed(asked(["failure"], content="full"))
    assert dsn_wanted.owed_bytes(full, 10**6) == each + dsn_wanted.MAX_FULL_BYTES


def asked(*notify: list[dsn_wanted.When], **more: Any) -> Dsn:
    return Dsn("App@Exemple.FR", [RecipientDsn(one) for one in notify], **more)


def test_what_is_asked_is_kept_by_recipient() -> None:
    found = dsn_wanted.unpacked(dsn_wanted.packed(asked(["failure"], [], ["success", "failure"], envelope_id="e")))

    assert found is not None
    assert (found.sender, found.envelope_id, found.is_full) == ("App@exemple.fr", "e", False)
    assert [found.of(at)[0] for at in (0, 1, 2, 3, None)] == [FAILURE, 0, FAILURE | SUCCESS, 0, 0]
    assert dsn_wanted.packed(asked([], [])) == b""
    assert dsn_wanted.packed(None) == b""
    assert dsn_wanted.unpacked(b"") is None


def test_all_that_is_wrong_with_what_is_asked_is_named() -> None:
    wrong = Dsn("nobody", [RecipientDsn([], "ana@x.test"), RecipientDsn([], "rfc822;a\n")], envelope_id="é")

    assert [one.at for one in dsn_wanted.faults(wrong, ["a@x.test"])] == [
        "$.dsn.sender",
        "$.dsn.envelope_id",
        "$.dsn.recipients",
        "$.dsn.recipients[0].original_recipient",
        "$.dsn.recipients[1].original_recipient",
    ]
    assert dsn_wanted.faults(asked(["failure"]), ["a@x.test"]) == []
