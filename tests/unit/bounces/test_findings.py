"""Each recipient by its own block; fields before words, and what may be about somebody else is never hard."""

import pytest

from services.bounces import findings, mail, verdict
from services.bounces.findings import Finding
from services.bounces.verdict import Failed, judge
from tests.unit.bounces.parts import sample

DAEMON = "From: MAILER-DAEMON@mx.example.fr\nSubject: Undelivered Mail\n"


def report(*blocks: str, text: str = "Not delivered.") -> mail.Mail:
    status = "\n\n".join(("Reporting-MTA: dns; mx.example.fr", *blocks))
    return mail.read(
        f'{DAEMON}Content-Type: multipart/report; report-type=delivery-status; boundary="b"\n\n--b\n'
        f"Content-Type: text/plain\n\n{text}\n\n--b\n"
        f"Content-Type: message/delivery-status\n\n{status}\n\n--b--\n".encode()
    )


def block(final: str, diagnostic: str, *, original: str = "", status: str = "5.0.0", action: str = "failed") -> str:
    said = f"Original-Recipient: rfc822;{original}\n" if original else ""
    said += f"Final-Recipient: rfc822;{final}\nAction: {action}\nStatus: {status}"
    return f"{said}\nDiagnostic-Code: {diagnostic}" if diagnostic else said


def prose(text: str) -> mail.Mail:
    return mail.read(f"{DAEMON}\n{text}".encode())


def of(opened: mail.Mail) -> list[tuple[str, str, str]]:
    return [(one.recipient, one.kind, one.reason) for one in verdict.reported(opened, True)]


def test_each_recipient_has_its_own_reply() -> None:
    found = of(report(block("<a@x.example>", "smtp; 550 User unknown"), block("b@x.example", "smtp; 552 Mailbox full")))

    assert found == [("a@x.example", "hard", "unknown_user"), ("b@x.example", "soft", "mailbox_full")]


def test_behind_one_address_of_ours_one_that_is_not_hard_is_enough() -> None:
    opened = report(block("a@x.example", "smtp; 550 User unknown"), block("b@x.example", "smtp; 552 Mailbox full"))

    found = judge(opened, "bounce", null_reverse_path=True)

    assert isinstance(found, Failed)
    assert (found.kind, found.reason) == ("soft", "mailbox_full")


def test_two_in_prose_one_full_and_one_unknown_are_soft_behind_one_address() -> None:
    opened = prose("<a@x.example>: 552 5.2.2 Mailbox full\n\n<b@x.example>: 550 5.1.1 User unknown\n")

    found = judge(opened, "bounce", null_reverse_path=True)

    assert of(opened) == [("a@x.example", "soft", "mailbox_full"), ("b@x.example", "hard", "unknown_user")]
    assert isinstance(found, Failed)
    assert found.kind == "soft"


@pytest.mark.parametrize(
    ("ours", "final", "elsewhere"),
    [
        ("ana@example.fr", "ana@other.example", True),
        ("ana@example.fr", "ana.martin@gmail.com", True),
        ("ana@example.fr", "ana@example.fr", False),
        ("ana@example.fr", "ANA@EXAMPLE.FR", False),
        ("ana@example.fr", "ana@mbox.example.fr", False),
        ("ana@lists.example.fr", "ana@example.fr", False),
        ("ana@example.fr", "ana@example.onmicrosoft.com", False),
        ("ana@example.fr", "ana@mbox1.local", False),
        ("ana@example.fr", "ana", False),
        ("ana@example.fr", "ana@notexample.fr", True),
    ],
)
def test_a_message_went_on_if_it_ended_at_somebody_elses_domain(ours: str, final: str, elsewhere: bool) -> None:
    assert findings.is_elsewhere(ours, final) is elsewhere


def test_what_fails_where_it_was_forwarded_to_is_not_hard_for_ours() -> None:
    [found] = verdict.reported(report(block("a@other.example", "smtp; 550 5.1.1 No", original="ana@example.fr")), True)

    assert found == Finding(
        "ana@example.fr", "failed", "5.1.1", "550 5.1.1 No", "mx.example.fr", "soft", "unknown_user"
    )


@pytest.mark.parametrize(
    ("diagnostic", "status", "kind"),
    [
        ("x-unix; filter: cannot open spool: no such user", "5.3.0", "soft"),
        ("x-unix; user unknown", "5.1.1", "hard"),
        ('smtp; Command died with status 1: "/bin/f". Command output: no such user', "5.3.0", "soft"),
        ("smtp; Child process of virtual transport returned 67: user unknown", "5.0.0", "soft"),
        ("smtp; 550 no such user", "5.3.0", "hard"),
    ],
)
def test_what_a_command_prints_says_nothing_about_an_address(diagnostic: str, status: str, kind: str) -> None:
    [(_, found, _)] = of(report(block("a@x.example", diagnostic, status=status)))

    assert found == kind


def test_where_the_fields_say_nothing_the_text_does() -> None:
    text = "** Address not found **\n\nYour message wasn't delivered to a@x.example."

    assert of(report(block("a@x.example", ""), text=text)) == [("a@x.example", "hard", "unknown_user")]
    assert of(report(block("a@x.example", ""))) == [("a@x.example", "soft", "undefined")]


def test_a_text_about_another_says_nothing_about_this_one() -> None:
    text = "<b@x.example>: 550 5.1.1 User unknown"

    found = of(report(block("a@x.example", ""), block("b@x.example", ""), text=text))

    assert found == [("a@x.example", "soft", "undefined"), ("b@x.example", "hard", "unknown_user")]


@pytest.mark.parametrize("action", ["delayed", "relayed", "delivered"])
def test_what_has_not_failed_is_never_hard(action: str) -> None:
    opened = report(block("a@x.example", "smtp; 550 5.1.1 User unknown", action=action))

    assert [one.kind for one in verdict.reported(opened, True)] == ["soft"]


def test_a_daemons_plain_reply_is_enough_under_any_subject() -> None:
    opened = mail.read(b"From: MAILER-DAEMON@x.example\nSubject: Your letter\n\n550 5.1.1 User unknown\n")

    assert of(opened) == [("", "hard", "unknown_user")]


@pytest.mark.parametrize(
    "text",
    [
        "It may be that the mailbox is full or the user unknown.",
        "Please check whether the address not found is spelled right.",
        "If the user is unknown, contact the recipient by other means.",
    ],
)
def test_what_a_report_supposes_is_not_what_happened(text: str) -> None:
    assert of(prose(text)) in ([("", "soft", "undefined")], [("", "soft", "mailbox_full")])


def test_a_whole_report_inside_of_a_gateways_notice_is_read() -> None:
    inner = sample("postfix-user-unknown.eml").decode()
    outer = (
        f'{DAEMON}Content-Type: multipart/mixed; boundary="o"\n\n--o\nContent-Type: message/rfc822\n\n{inner}\n--o--\n'
    )

    assert of(mail.read(outer.encode())) == [("ana@example.fr", "hard", "unknown_user")]
