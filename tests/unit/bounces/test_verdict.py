"""What a mail is depends on where it was sent; hostile mail is something too."""

from pathlib import Path
from typing import get_args

import pytest

from services.bounces import mail
from services.bounces.verdict import (
    Addressed,
    Automatic,
    Failed,
    Leaves,
    Nothing,
    Unrecognised,
    Verdict,
    Why,
    judge,
)
from tests.unit.bounces.parts import SAMPLES, sample

HOSTILE = sorted((SAMPLES / "hostile").glob("*.eml"))


def verdict(name: str, to: Addressed, null_reverse_path: bool = True) -> Verdict:
    return judge(mail.read(sample(name)), to, null_reverse_path)


def test_exims_bounce_is_a_bounce_although_it_says_that_it_is_automatic() -> None:
    assert isinstance(verdict("exim-user-unknown.eml", "bounce"), Failed)


def test_a_machine_unsubscribes_nobody_but_a_providers_button_does() -> None:
    assert isinstance(verdict("vacation-rfc3834.eml", "unsubscribe", null_reverse_path=False), Automatic)
    assert isinstance(verdict("ticket-received.eml", "unsubscribe", null_reverse_path=False), Automatic)
    assert isinstance(verdict("unsubscribe-button.eml", "unsubscribe", null_reverse_path=False), Leaves)


def test_a_button_is_pressed_by_somebody() -> None:
    assert verdict("unsubscribe-button.eml", "unsubscribe", null_reverse_path=True) == Unrecognised("null_sender")


def test_a_button_at_the_return_path_is_an_automatic_answer() -> None:
    assert isinstance(verdict("unsubscribe-button.eml", "bounce", null_reverse_path=False), Automatic)


@pytest.mark.parametrize(
    ("name", "word"),
    [("postfix-delayed.eml", "delayed"), ("postfix-relayed.eml", "relayed"), ("exim-delayed.eml", "delayed"),
     ("arf-not-spam.eml", "not_spam")],
)  # fmt: skip
def test_what_calls_for_nothing_has_its_word(name: str, word: str) -> None:
    assert verdict(name, "bounce") == Nothing(word)


def test_a_report_for_a_fixed_address_has_the_signed_names_that_it_returns() -> None:
    found = verdict("postfix-user-unknown.eml", "fixed")

    assert isinstance(found, Failed)
    assert {name[:2] for name in found.names} == {"b-", "u-"}


def test_a_long_diagnostic_is_cut() -> None:
    raw = sample("postfix-user-unknown.eml").replace(b"in virtual", b"in virtual" + b" really" * 500)
    found = judge(mail.read(raw), "bounce", null_reverse_path=True)

    assert isinstance(found, Failed)
    assert len(found.reply) == 1000


@pytest.mark.parametrize("path", HOSTILE, ids=lambda path: path.stem)
@pytest.mark.parametrize("to", ["bounce", "unsubscribe", "fixed"])
@pytest.mark.parametrize("null_reverse_path", [True, False])
def test_hostile_mail_is_something(path: Path, to: Addressed, null_reverse_path: bool) -> None:
    found = judge(mail.read(path.read_bytes()), to, null_reverse_path)

    assert not isinstance(found, Unrecognised) or found.reason in get_args(Why)
