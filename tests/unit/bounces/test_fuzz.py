"""Whatever the bytes are: nothing raises, nothing takes for ever, and no person's mail becomes a hard bounce."""

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.bounces import classified
from services.bounces.mail import READ_BYTES
from tests.unit.bounces.parts import SAMPLES
from tests.unit.bounces.test_index import index

KINDS = {"bounce", "delay", "complaint", "unsubscribe", "auto_reply", "reply", "not_a_report"}
#: Kinds of which nobody is ever dropped, in whatever state such a mail arrives.
PEOPLES = {"reply", "unsubscribe"}
#: What a program says, to be put into people's mails.
SAID = (
    "550 5.1.1 <ana@example.fr>: User unknown", "<ana@example.fr>:\nSorry, no mailbox here by that name. (#5.1.1)",
    "Final-Recipient: rfc822; ana@example.fr\nAction: failed\nStatus: 5.1.1",
    "--b\nContent-Type: message/delivery-status\n\nFinal-Recipient: rfc822; ana@example.fr\nAction: failed\n",
    "This is the mail system at host mx.example.fr.", "** Address not found **", "X-Failed-Recipients: ana@example.fr",
    "This message was created automatically by mail delivery software.", "Subject: Undelivered Mail Returned to Sender",
)  # fmt: skip
#: Pieces that would cost the square of their number if anything were looked at from each of them to the end.
PIECES = (
    "550 ", "550 5.1.1 User unknown\n", "<ana@example.fr>:\n", "ana@example.fr ", "#5.1.1 ", "--", "\n--", "> ", ">>> ",
    "\n\n", " \n", "\t", "<", "(", "[", "a", "@", "a@", "a@b.", "From: a\n", "To: ana@example.fr\n",
    "Final-Recipient: x\n",
    "Final-Recipient: rfc822; a@b.example\nAction: failed\n\n", "Action: failed\n\n", "Feedback-Type: abuse\n\n",
    "<p>", "<pre>", "<style>", "&lt;", "mailbox ", "mailbox is ", "address could ", "domain ", "\x1b$B", "\u90ae\u7bb1",
    "Auto: ", "Re: ", "-- original ", "unsubscribe ", ". ", "ich bin ", "is away from ", "550-5.1.1 x\n",
    "x" * 49 + "\n",
    "(expanded from <a@b>) ", "on Thu 2025 ", "(reason: ", "Content-Type: multipart/mixed; boundary=b\n\n--b\n",
)  # fmt: skip
FRAMES = (
    "From: MAILER-DAEMON@mx.example.fr\nSubject: failure notice\n\n{}",
    "From: MAILER-DAEMON@mx.example.fr\nSubject: {}\n\nx",
    "From: {}\n\nx",
    "Content-Type: text/html\nFrom: MAILER-DAEMON@mx.example.fr\nSubject: failure notice\n\n{}",
    'Content-Type: multipart/report; boundary="b"; report-type=delivery-status\n\n--b\n'
    "Content-Type: message/delivery-status\n\n{}\n--b--\n",
    'Content-Type: multipart/report; boundary="aa"\nFrom: MAILER-DAEMON@x.example\n\n{}',
)


@cache
def raw(name: str) -> bytes:
    return (SAMPLES / name).read_bytes()


@cache
def peoples() -> list[str]:
    return sorted(name for name, rows in index().items() if rows[0][0] in PEOPLES)


def assert_is_something(content: bytes) -> None:
    rows = classified.of_mail(content)

    assert rows
    assert {row.kind for row in rows} <= KINDS


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=2_000))
def test_any_bytes_are_something(content: bytes) -> None:
    assert_is_something(content)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_examples_cut_and_mixed_are_something(data: st.DataObject) -> None:
    names = st.sampled_from(sorted(index()))
    one, other = raw(data.draw(names)), raw(data.draw(names))
    cut, until, at = (data.draw(st.integers(0, len(one))) for _ in range(3))
    taken = other[data.draw(st.integers(0, len(other))) :][: data.draw(st.integers(0, 500))]

    assert_is_something(one[: min(cut, until)] + one[max(cut, until) :])
    assert_is_something(one[:at] + taken + one[at:])
    assert_is_something(one.replace(b"\n", b"\r"))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_no_persons_mail_becomes_a_hard_bounce_whatever_it_quotes(data: st.DataObject) -> None:
    letter = raw(data.draw(st.sampled_from(peoples()))).replace(b"\r\n", b"\n")
    head, _, body = letter.partition(b"\n\n")
    for _ in range(data.draw(st.integers(1, 4))):
        bounce = raw(data.draw(st.sampled_from(sorted(index())))).decode("utf-8", "replace")
        said = data.draw(st.sampled_from((*SAID, bounce))).encode()
        at = data.draw(st.integers(0, len(body)))
        body = body[:at] + b"\n\n" + said + b"\n\n" + body[at:]

    rows = classified.of_mail(head + b"\n\n" + body)

    assert [row for row in rows if row.verdict == "hard"] == []


@pytest.mark.parametrize("frame", range(len(FRAMES)))
def test_what_repeats_without_end_ends(frame: int) -> None:
    """A square of this would take minutes: each piece alone, and with something in between."""
    size = READ_BYTES // 4
    for piece in PIECES:
        for filled in (piece, f"{piece}x y\n"):
            assert_is_something(FRAMES[frame].format(filled * (size // len(filled))).encode())
