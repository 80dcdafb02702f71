"""Who writes: the button of a person's client is a word, and what a person quotes of a bounce is nobody's bounce."""

import pytest

from services.bounces import author, mail
from services.bounces.verdict import Addressed, Automatic, Failed, Leaves, Unrecognised, judge
from tests.unit.bounces.parts import RETURN_PATH, UNSUBSCRIBE, Desk, sample

APPLE = """\
From: Ana Martin <ana.martin@icloud.com>
To: {to}
Subject: {subject}
Auto-Submitted: auto-replied
X-Apple-Unsubscribe: true
Message-Id: <3F1D7A52-0C7B-4B8E-9C55-8A1C6C2D9B10@icloud.com>
Mime-Version: 1.0 (Mac OS X Mail 16.0 \\(3774.300.61.1.2\\))
X-Mailer: Apple Mail (2.3774.300.61.1.2)
Content-Type: text/plain; charset=us-ascii
Content-Transfer-Encoding: 7bit

Apple Mail sent this email to unsubscribe from the message "Nos soldes commencent".
"""
#: What others send to the address of List-Unsubscribe, as header fields.
BUTTONS = {
    "apple": {"Auto-Submitted": "auto-replied", "X-Apple-Unsubscribe": "true", "Subject": "unsubscribe"},
    "apple, own subject": {"Auto-Submitted": "auto-replied", "X-Apple-Unsubscribe": "true", "Subject": "Goodbye"},
    "apple, no subject": {"Auto-Submitted": "auto-replied", "X-Apple-Unsubscribe": "true"},
    "bulk": {"Precedence": "bulk", "Subject": "unsubscribe"},
    "junk": {"Precedence": "junk", "Subject": "Unsubscribe"},
    "generated": {"Auto-Submitted": "auto-generated", "Subject": " UNSUBSCRIBE "},
    "replied alone": {"Auto-Submitted": "auto-replied", "Subject": "unsubscribe"},
    "suppressing": {"X-Auto-Response-Suppress": "All", "Precedence": "bulk", "Subject": "unsubscribe"},
    "with an id": {"Precedence": "bulk", "Subject": "unsubscribe 4711"},
    "french": {"Precedence": "bulk", "Subject": "=?utf-8?Q?D=C3=A9sinscription?="},
    "subject passed over": {"Precedence": "bulk", "Subject": ""},
    "german": {"Auto-Submitted": "auto-generated", "Subject": "Abmelden"},
}
#: Machines that answer, at the same address.
MACHINES = {
    "absence": {"Auto-Submitted": "auto-replied", "Subject": "Re: unsubscribe"},
    "absence, own subject": {"Auto-Submitted": "auto-replied", "Subject": "Out of office"},
    "vacation(1)": {"Precedence": "bulk", "Subject": "away from my mail"},
    "subject with a colon": {"Auto-Submitted": "auto-replied", "Subject": "Unsubscribe: automatic reply"},
    "absence without a subject": {"Auto-Submitted": "auto-replied", "Subject": ""},
    "stop over": {"Precedence": "bulk", "Subject": "Stop over in Paris"},
    "apple says no": {"Auto-Submitted": "auto-replied", "X-Apple-Unsubscribe": "false", "Subject": "Re: Hello"},
    "challenge": {"X-TMDA-Confirm": "1", "Subject": "unsubscribe"},
}


def written(text: str = "Hello\n", *, sender: str = "Ana Martin <ana@example.fr>", **fields: str) -> mail.Mail:
    head = "".join(f"{name}: {value}\n" for name, value in {"From": sender, **fields}.items())
    return mail.read(f"{head}\n{text}".replace("\n", "\r\n").encode())


async def test_apple_mails_unsubscribe_takes_the_person_off() -> None:
    desk = Desk()

    raw = APPLE.format(to=UNSUBSCRIBE, subject="unsubscribe").replace("\n", "\r\n").encode()
    await desk.receive(raw, UNSUBSCRIBE, sender="ana.martin@icloud.com")

    assert [type(fact).__name__ for fact in desk.bus.facts] == ["Unsubscribed"]


@pytest.mark.parametrize("fields", BUTTONS.values(), ids=BUTTONS)
def test_a_clients_button_is_a_persons_word(fields: dict[str, str]) -> None:
    assert judge(written(**fields), "unsubscribe", null_reverse_path=False) == Leaves()


@pytest.mark.parametrize("fields", MACHINES.values(), ids=MACHINES)
def test_a_machine_that_answers_unsubscribes_nobody(fields: dict[str, str]) -> None:
    assert isinstance(judge(written(**fields), "unsubscribe", null_reverse_path=False), Automatic)


@pytest.mark.parametrize("fields", BUTTONS.values(), ids=BUTTONS)
def test_at_the_return_path_no_button_is_pressed(fields: dict[str, str]) -> None:
    assert judge(written(**fields), "bounce", null_reverse_path=False) != Leaves()


# Bounces of others, quoted

BOUNCED = {
    name: mail.read(sample(name)).text
    for name in ("qmail-user-unknown.eml", "exim-user-unknown.eml", "postfix-prose.eml", "gmail-prose.eml",
                 "exchange-2010-prose.eml", "sendmail-prose.eml", "yahoo-prose.eml", "domino-prose.eml",
                 "exchange-2003-prose.eml", "unknown-program.eml")
}  # fmt: skip
PREFIXES = [
    "Re:", "RE:", "Re :", "Re[2]:", "RE(3):", "Re^2:", "Fwd:", "FW:", "Fw:", "AW:", "WG:", "TR:", "Tr :", "SV:", "RV:",
    "Antw:", "VS:", "VB:", "ENC:", "RES:", "R:", "I:", "Odp:", "YNT:", "Doorst:", "Réf :", "[EXT] Re:",
    "[Spam] [X] FW:",
    "回复：", "转发:", "Ответ:", "HA:", "ΑΠ:", "*** SPAM *** Re:",
]  # fmt: skip


@pytest.mark.parametrize("name", BOUNCED)
@pytest.mark.parametrize(
    "subject", ["Fwd: Undelivered Mail Returned to Sender", "Do you know what this is?", "failure"]
)
def test_a_person_who_quotes_a_bounce_suppresses_nobody(name: str, subject: str) -> None:
    quoting = written(f"Hello, I got this, can you help?\n\n{BOUNCED[name]}", Subject=subject)

    assert judge(quoting, "bounce", null_reverse_path=False) == Unrecognised("not_a_report")
    assert judge(quoting, "unsubscribe", null_reverse_path=False) in (Unrecognised("report_to_unsubscribe"), Leaves())
    assert judge(quoting, "fixed", null_reverse_path=False) == Unrecognised("to_fixed_address")


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("sender", ["Ana <ana@example.fr>", "Postmaster <postmaster@example.fr>"])
def test_an_answer_or_a_forward_is_no_bounce_whoever_seems_to_send_it(prefix: str, sender: str) -> None:
    quoting = written(BOUNCED["qmail-user-unknown.eml"], sender=sender, Subject=f"{prefix} failure notice")

    assert author.is_reply(quoting)
    assert judge(quoting, "bounce", null_reverse_path=True) == Unrecognised("not_a_report")


@pytest.mark.parametrize(
    "subject",
    ["Undelivered Mail Returned to Sender", "Returned mail: see transcript for details", "Rejected: hello",
     "Undeliverable: Re: hello", "failure notice", "Warning: could not send", "Reject", "Awaiting: nothing",
     "Trash: full", "Idle: no", "", "[Delivery] failure"],
)  # fmt: skip
def test_other_subjects_are_not_those_of_answers(subject: str) -> None:
    assert not author.is_reply(written(Subject=subject))


@pytest.mark.parametrize(
    ("sender", "is_daemon"),
    [
        ("MAILER-DAEMON@mx.example.fr (Mail Delivery System)", True),
        ("Mail Delivery Subsystem <mailer-daemon@googlemail.com>", True),
        ("MAILER-DAEMON", True),
        ("<MAILER-DAEMON>", True),
        ("Mail Delivery System <noreply@example.fr>", True),
        ("postmaster@example.onmicrosoft.com", True),
        ("Microsoft Exchange <MicrosoftExchange329e71ec88ae4615bbc36ab6ce41109e@example.fr>", True),
        ('"Courier mail server at mx.example.fr" <@>', True),
        ("Ana <ana@example.fr>", False),
        ("Postmaster Ana Martin <ana@example.fr>", False),
        ('"mailer-daemon fan club" <postmasters@example.fr>', True),
        ("Ana <ana@postmaster.example.fr>", False),
        ("", False),
    ],
)
def test_a_daemon_is_known_by_its_address(sender: str, is_daemon: bool) -> None:
    assert author.is_from_daemon(written(sender=sender)) is is_daemon


FORWARDED_PARTS = """\
Hello, what is this?

--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.other.example

Final-Recipient: rfc822; bob@other.example
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 User unknown
--b--
"""


@pytest.mark.parametrize(
    ("content_type", "subject", "sender", "null_reverse_path", "is_failed"),
    [
        ("multipart/mixed", "Fwd: Undelivered Mail", "Ana <ana@example.fr>", False, False),
        ("multipart/mixed", "Look at that", "Ana <ana@example.fr>", False, False),
        ("multipart/mixed", "WG: Undelivered Mail", "Ana <ana@example.fr>", True, False),
        ("multipart/report", "Fwd: Undelivered Mail", "Ana <ana@example.fr>", False, False),
        ("multipart/report", "Undelivered Mail", "Relay <relay@example.fr>", False, True),
        ("multipart/report", "Re: Hello", "Ana <ana@example.fr>", True, True),
        ("multipart/mixed", "Undelivered Mail", "Ana <ana@example.fr>", True, True),
        ("multipart/mixed", "Undelivered Mail", "MAILER-DAEMON@example.fr", False, True),
    ],
)
@pytest.mark.parametrize("to", ["bounce", "fixed"])
def test_the_parts_of_a_report_in_a_forward_are_no_report(
    content_type: str, subject: str, sender: str, null_reverse_path: bool, is_failed: bool, to: Addressed
) -> None:
    text = f"--b\nContent-Type: text/plain\n\n{FORWARDED_PARTS}"
    fields = {"Subject": subject, "MIME-Version": "1.0", "Content-Type": f'{content_type}; boundary="b"'}

    found = judge(written(text, sender=sender, **fields), to, null_reverse_path)

    assert isinstance(found, Failed) is is_failed


async def test_a_persons_reply_with_somebody_elses_bounce_is_kept_and_makes_no_fact() -> None:
    desk = Desk()

    quoting = f"From: Ana <ana@example.fr>\n\n{BOUNCED['qmail-user-unknown.eml']}"
    raw = f"Subject: Re: Nos soldes commencent\n{quoting}".replace("\n", "\r\n").encode()
    await desk.receive(raw, RETURN_PATH, sender="ana@example.fr")

    assert desk.bus.facts == []
    assert desk.drawer.reasons == ["not_a_report"]


def test_a_subject_without_end_is_looked_at_once() -> None:
    for subject in ("[" * 4_000, "[x]" * 1_300, " " * 4_000, "Re" * 2_000):
        assert not author.is_reply(written(Subject=subject))
