"""A message in hand, and what its end does to its lease."""

import pytest

from services.relay.message.mail import End, Mail
from shared.redis.ready import Lease, Recorded
from shared.words import events

JOB = "06h006mus2uer1pplc9g"


def mail(email: str = "ana@example.net") -> Mail:
    ready = events.Ready(tenant="acme", job=JOB, ordinal=7, email=email)
    return Mail(Lease(2, 41, "example.net", events.encode(ready)), ready)


@pytest.mark.parametrize(
    ("email", "domain"),
    [
        ("ana@example.net", "example.net"),
        ('"a@b"@example.net', "example.net"),
        ("ana@[192.0.2.1]", "[192.0.2.1]"),
        ("ana@xn--exmple-cua.fr", "xn--exmple-cua.fr"),
    ],
)
def test_the_domain_of_a_message_is_what_follows_the_last_at(email: str, domain: str) -> None:
    assert mail(email).domain == domain


def test_an_end_without_another_attempt_ends_the_lease() -> None:
    assert End(mail(), None).recorded == Recorded(41)


def test_an_end_with_another_attempt_gives_the_lease_its_time_and_its_message() -> None:
    assert End(mail(), None, 1_800_000_000_000, b"again").recorded == Recorded(41, 1_800_000_000_000, b"again")


def test_a_message_was_not_found_wanted_before_anybody_asked() -> None:
    assert mail().checked_at == 0
