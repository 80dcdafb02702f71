"""Delivery reports are read as RFC 3464 has them, and as programs write them."""

import pytest

from services.bounces import dsn, mail
from services.bounces.dsn import Report
from tests.unit.bounces.parts import JOB, sample


def report(*blocks: str) -> Report | None:
    status = "\r\n\r\n".join(blocks).replace("\n", "\r\n").replace("\r\r", "\r")
    return dsn.read(mail.read(f"Content-Type: message/delivery-status\r\n\r\n{status}\r\n".encode()))


def test_a_report_has_its_host_its_recipients_and_the_returned_header() -> None:
    found = dsn.read(mail.read(sample("postfix-user-unknown.eml")))

    assert found is not None
    assert found.reporting_mta == "mx.example.fr"
    [recipient] = found.recipients
    assert (recipient.action, recipient.status) == ("failed", "5.1.1")
    assert recipient.final_recipient == "ana@example.fr"
    assert recipient.remote_mta == "mbox.example.fr"
    assert recipient.diagnostic.startswith("550 5.1.1 <ana@example.fr>: Recipient address rejected")
    assert found.original.get("message-id") == f"<{JOB}.258@exemple.fr>"


def test_each_recipient_has_its_action() -> None:
    found = dsn.read(mail.read(sample("alias-of-three-one-fails.eml")))

    assert found is not None
    assert [recipient.action for recipient in found.recipients] == ["failed", "delivered", "expanded"]


@pytest.mark.parametrize(
    ("status", "action"), [("5.1.1", "failed"), ("4.4.1", "delayed"), ("2.0.0", "delivered"), ("5.1.1 (no)", "failed")]
)
def test_a_missing_action_follows_from_the_status(status: str, action: str) -> None:
    found = report(f"Final-Recipient: rfc822; a@b.example\nStatus: {status}")

    assert found is not None
    assert found.recipients[0].action == action


def test_words_after_the_action_and_unknown_types_are_no_matter() -> None:
    found = report(
        "Action: Failed (bad destination mailbox)\nFinal-Recipient: a@b.example\nDiagnostic-Code: 550 No; no"
    )

    assert found is not None
    assert found.recipients[0].action == "failed"
    assert found.recipients[0].final_recipient == "a@b.example"
    assert found.recipients[0].diagnostic == "550 No; no"


def test_one_block_for_everything_is_read() -> None:
    found = report(
        "Reporting-MTA: dns; mx.example\nFinal-Recipient: rfc822; a@b.example\nAction: failed\nStatus: 5.0.0"
    )

    assert found is not None
    assert found.reporting_mta == "mx.example"
    assert found.recipients[0].status == "5.0.0"


@pytest.mark.parametrize(
    "blocks", [[], ["Reporting-MTA: dns; mx.example"], ["Status: 5.1.1"], ["Action: exploded\nStatus: 9.9.9"], ["junk"]]
)
def test_a_report_about_nobody_is_none(blocks: list[str]) -> None:
    assert report(*blocks) is None


@pytest.mark.parametrize("name", ["qmail-user-unknown.eml", "arf-fraud.eml", "read-receipt.eml", "broken-report.eml"])
def test_what_has_no_delivery_status_is_no_delivery_report(name: str) -> None:
    assert dsn.read(mail.read(sample(name))) is None
