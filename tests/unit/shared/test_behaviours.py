"""Test addresses behave as the page says."""

import pytest

from shared.words.behaviours import BEHAVIOURS, ORDINARY, behaviour


@pytest.mark.parametrize(
    ("address", "reply"),
    [
        ("unknown@example.org", "550 5.1.1"),
        ("unknown-42@example.org", "550 5.1.1"),
        ("UNKNOWN.user@example.org", "550 5.1.1"),
        ("full17@example.org", "452 4.2.2"),
        ("greylist@example.org", "451 4.7.1"),
        ("blocked@example.org", "550 5.7.1"),
        ("bounce-later1@example.org", "250 "),
        ("complain@example.org", "250 "),
        ("ana@example.org", "250 "),
        ("not-unknown@example.org", "250 "),
    ],
)
def test_the_beginning_of_the_local_part_decides_the_reply(address: str, reply: str) -> None:
    assert behaviour(address).reply.startswith(reply)


def test_the_domain_decides_nothing() -> None:
    assert behaviour("ana@unknown.example") is ORDINARY


def test_text_without_an_at_sign_is_an_ordinary_address() -> None:
    assert behaviour("unknown") is ORDINARY
    assert behaviour("") is ORDINARY


def test_only_those_who_took_the_message_send_a_notice() -> None:
    assert [known.prefix for known in BEHAVIOURS if known.notice] == ["bounce-later", "complain"]
    assert all(known.reply.startswith("250") for known in BEHAVIOURS if known.notice)


def test_every_reply_code_is_counted() -> None:
    assert {known.reply[:3] for known in (ORDINARY, *BEHAVIOURS)} == {"250", "451", "452", "550"}
