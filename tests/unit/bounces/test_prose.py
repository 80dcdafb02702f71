"""Bounces in prose are read by the table of programs."""

import pytest

from services.bounces import mail, prose
from services.bounces.prose import PROGRAMS, Failure, Program, Told
from shared.words.replies import Classification
from tests.unit.bounces.parts import sample

UNKNOWN_USER = Classification("hard", "unknown_user", "recipient")


def written(text: str, subject: str = "Hello", sender: str = "ana@example.fr") -> mail.Mail:
    return mail.read(f"From: {sender}\nSubject: {subject}\n\n{text}".replace("\n", "\r\n").encode())


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_each_program_is_recognised_by_its_example(program: Program) -> None:
    told = prose.read(mail.read(sample(program.example)), null_reverse_path=True)

    assert told is not None
    assert (told.program, told.delayed) == (program.name, False)
    [failure] = told.failures
    assert failure.reason
    assert failure.address.partition("@")[0] in ("ana", "")


@pytest.mark.parametrize("program", PROGRAMS[:-1], ids=lambda program: program.name)
def test_a_program_is_recognised_although_a_host_put_a_sender_on_the_bounce(program: Program) -> None:
    assert prose.read(mail.read(sample(program.example)), null_reverse_path=False) is not None


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (
            "qmail-user-unknown.eml",
            "192.0.2.9 does not like recipient. Remote host said: 550 5.1.1 sorry, no mailbox here by that name "
            "(#5.1.1) Giving up on 192.0.2.9.",
        ),
        (
            "exim-user-unknown.eml",
            "SMTP error from remote mail server after RCPT TO:<ana@example.fr>: host mbox.example.fr [192.0.2.9]: "
            "550 5.1.1 <ana@example.fr>: Recipient address rejected: User unknown in relay recipient table",
        ),
        ("sendmail-prose.eml", "552 5.2.2 Over quota"),
    ],
)
def test_the_reason_is_what_the_text_says_about_the_address(name: str, reason: str) -> None:
    told = prose.read(mail.read(sample(name)), null_reverse_path=True)

    assert told is not None
    assert [failure.reason for failure in told.failures] == [reason]


@pytest.mark.parametrize("name", ["exim-delayed.eml", "postfix-delayed.eml"])
def test_not_yet_is_a_delay(name: str) -> None:
    told = prose.read(mail.read(sample(name)), null_reverse_path=True)

    assert told is not None
    assert told.delayed


def test_what_our_own_mail_says_in_the_copy_is_not_read() -> None:
    text = (
        "Hi. This is the qmail-send program at mx.\n\n<ana@example.fr>:\nSorry, no mailbox here. (#5.1.1)\n\n"
        "--- Below this line is a copy of the message.\n\nYour delivery has been delayed. 450 4.2.0 greylisted\n"
    )

    told = prose.read(written(text), null_reverse_path=True)

    assert told == Told("qmail", False, (Failure("ana@example.fr", "Sorry, no mailbox here. (#5.1.1)", UNKNOWN_USER),))


def test_a_person_who_quotes_a_reply_is_no_mail_system() -> None:
    assert prose.read(written("Your server said 550 5.1.1 to me", "Undelivered mail?"), null_reverse_path=False) is None


def test_a_daemon_who_speaks_of_something_else_is_no_bounce() -> None:
    mail_of_a_daemon = written("Your weekly report: 550 mails", "Report", "MAILER-DAEMON@example.fr")

    assert prose.read(mail_of_a_daemon, null_reverse_path=True) is None


@pytest.mark.parametrize(
    "subject",
    ["Undeliverable: Hello", "Échec de la remise", "Unzustellbar: Hallo", "Mancata consegna", "Onbestelbaar: Hallo",
     "No se puede entregar: Hola", "Returned mail: see transcript", "failure notice"],
)  # fmt: skip
def test_the_last_row_reads_what_no_program_wrote(subject: str) -> None:
    told = prose.read(written("Ana is gone.\n550 5.1.1 User unknown\n", subject), null_reverse_path=True)

    assert told == Told("any", False, (Failure("", "550 5.1.1 User unknown", UNKNOWN_USER),))


def test_a_failure_without_a_reason_is_a_failure() -> None:
    assert prose.read(written("Sorry.", "failure notice"), null_reverse_path=True) == Told("any", False)


def test_the_first_reply_in_a_text_is_found() -> None:
    assert prose.reply_in("I said:\n>>> RCPT TO\n<<< 550 5.1.1 No such user\nand 450 later") == (
        "550 5.1.1 No such user"
    )
    assert prose.reply_in("nothing") == ""
