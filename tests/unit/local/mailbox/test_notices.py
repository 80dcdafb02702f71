"""Bounces and complaints say what RFC 3464 and RFC 5965 have them say, as the standard library reads them."""

from datetime import UTC, datetime
from email import message_from_bytes
from typing import Any

import pytest

from services.local.mailbox import notices
from services.local.mailbox.notices import Sent, sent

AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
RAW = b"From: news@exemple.fr\r\nMessage-ID: <job.3@exemple.fr>\r\nSubject: Bonjour\r\n\r\n<p>Bonjour</p>\r\n"


def about(recipient: str = "bounce-later@example.org", raw: bytes = RAW) -> Sent:
    return sent("b-payload@bounces.localhost", recipient, raw)


def parts(notice: bytes) -> tuple[Any, list[Any]]:
    whole = message_from_bytes(notice)
    return whole, list(whole.get_payload())


def test_a_bounce_is_a_delivery_status_report() -> None:
    whole, (told, status, returned) = parts(notices.bounce(about(), AT, "boundary"))

    assert whole.get_content_type() == "multipart/report"
    assert whole.get_param("report-type") == "delivery-status"
    assert whole["To"] == "<b-payload@bounces.localhost>"
    assert whole["Auto-Submitted"] == "auto-replied"
    assert told.get_content_type() == "text/plain"
    of_message, of_recipient = status.get_payload()
    assert of_message["Reporting-MTA"] == "dns; mailbox.localhost"
    assert of_recipient["Final-Recipient"] == "rfc822; bounce-later@example.org"
    assert of_recipient["Action"] == "failed"
    assert of_recipient["Status"] == "5.1.1"
    assert of_recipient["Diagnostic-Code"] == "smtp; 550 5.1.1 User unknown"
    assert returned.get_content_type() == "text/rfc822-headers"
    assert returned.get_payload() == "From: news@exemple.fr\r\nMessage-ID: <job.3@exemple.fr>\r\nSubject: Bonjour\r\n"


def test_a_complaint_is_a_feedback_report_with_the_message() -> None:
    whole, (_, fields, returned) = parts(notices.complaint(about("complain@example.org"), AT, "boundary"))

    assert whole.get_param("report-type") == "feedback-report"
    assert fields.get_content_type() == "message/feedback-report"
    reported = message_from_bytes(fields.get_payload(0).as_bytes())
    assert reported["Feedback-Type"] == "abuse"
    assert reported["Version"] == "1"
    assert reported["Original-Mail-From"] == "<b-payload@bounces.localhost>"
    assert reported["Original-Rcpt-To"] == "<complain@example.org>"
    assert returned.get_content_type() == "message/rfc822"
    assert returned.get_payload(0)["Message-ID"] == "<job.3@exemple.fr>"


def test_a_complaint_about_a_large_message_carries_its_header() -> None:
    large = RAW + b"x" * notices.MAX_RETURNED_BYTES

    _, (_, _, returned) = parts(notices.complaint(about(raw=large), AT, "boundary"))

    assert returned.get_content_type() == "text/rfc822-headers"
    assert "<job.3@exemple.fr>" in returned.get_payload()


def test_what_waits_to_be_sent_is_bounded() -> None:
    endless_header = sent("b@b.localhost", "bounce-later@x.fr", b"Subject: " + b"x" * 10_000_000)

    assert len(endless_header.header) == notices.MAX_RETURNED_BYTES
    assert endless_header.whole is None


@pytest.mark.parametrize("write", [notices.bounce, notices.complaint])
def test_every_line_ends_with_cr_lf_and_is_short_enough(write: object) -> None:
    assert callable(write)
    notice = write(about(), AT, "boundary")

    assert notice.count(b"\n") == notice.count(b"\r\n") == notice.count(b"\r")
    assert max(map(len, notice.split(b"\r\n"))) <= 998


def test_an_address_beyond_ascii_is_written_as_rfc_6533_says() -> None:
    notice = notices.bounce(about("bounce-later-zoé@example.org"), AT, "boundary")

    assert notice.isascii()
    assert b"Final-Recipient: utf-8; bounce-later-zo\\x{E9}@example.org\r\n" in notice


def test_eight_bit_content_is_declared() -> None:
    raw = "Subject: été\r\n\r\nété\r\n".encode()

    _, (_, _, returned) = parts(notices.bounce(about(raw=raw), AT, "boundary"))

    assert returned["Content-Transfer-Encoding"] == "8bit"


def test_a_message_without_body_is_header_alone() -> None:
    assert notices.head(b"Subject: a\r\n") == b"Subject: a\r\n"
    assert notices.head(b"Subject: a\r\n\r\nb") == b"Subject: a\r\n"
