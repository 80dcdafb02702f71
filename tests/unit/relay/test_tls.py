"""Policies of encryption: what they are called, which records are of use, which connection is good for which mail."""

import pytest

from services.relay.words.tls import (
    NEVER,
    OPPORTUNISTIC,
    REQUIRED,
    Tlsa,
    TlsPolicy,
    failure_of,
    strongest,
)

VERIFIED = TlsPolicy("verified", "mta-sts")
DANE = TlsPolicy("dane", "dane", ("mx.example.net",), (Tlsa(3, 1, 1, b"x" * 32),))


@pytest.mark.parametrize(
    ("policy", "word"),
    [
        (NEVER, "none"),
        (OPPORTUNISTIC, "opportunistic"),
        (REQUIRED, "required"),
        (VERIFIED, "mta-sts"),
        (TlsPolicy("opportunistic", "mta-sts", testing=True), "opportunistic"),
        (DANE, "dane"),
        (TlsPolicy("required", "dane"), "dane"),
    ],
)
def test_a_policy_is_called_after_what_asked_for_it(policy: TlsPolicy, word: str) -> None:
    assert policy.word == word


@pytest.mark.parametrize(
    ("record", "usable"),
    [
        (Tlsa(3, 1, 1, b"x" * 32), True),
        (Tlsa(2, 0, 2, b"x" * 64), True),
        (Tlsa(2, 0, 0, b"x"), True),
        (Tlsa(0, 1, 1, b"x" * 32), False),
        (Tlsa(1, 1, 1, b"x" * 32), False),
        (Tlsa(255, 1, 1, b"x" * 32), False),
        (Tlsa(3, 2, 1, b"x" * 32), False),
        (Tlsa(3, 1, 3, b"x" * 32), False),
        (Tlsa(3, 1, 1, b"x" * 31), False),
        (Tlsa(3, 1, 2, b"x" * 32), False),
        (Tlsa(3, 1, 0, b""), False),
    ],
)
def test_a_record_is_of_use_if_smtp_knows_what_it_means(record: Tlsa, usable: bool) -> None:
    assert record.usable == usable
    assert strongest((record,)) == ((record,) if usable else ())


def test_a_weaker_digest_beside_a_stronger_one_counts_for_nothing() -> None:
    weak, strong = Tlsa(3, 1, 1, b"x" * 32), Tlsa(3, 1, 2, b"x" * 64)
    exact, other = Tlsa(3, 1, 0, b"key"), Tlsa(2, 1, 1, b"y" * 32)

    assert strongest((weak, strong, exact, other)) == (strong, exact, other)


@pytest.mark.parametrize(
    ("opened", "wanted", "good"),
    [
        (OPPORTUNISTIC, OPPORTUNISTIC, True),
        (OPPORTUNISTIC, REQUIRED, False),
        (NEVER, OPPORTUNISTIC, False),
        (REQUIRED, OPPORTUNISTIC, True),
        (VERIFIED, OPPORTUNISTIC, True),
        (VERIFIED, REQUIRED, True),
        (DANE, REQUIRED, True),
        (DANE, VERIFIED, False),
        (REQUIRED, VERIFIED, False),
        (VERIFIED, DANE, False),
        (VERIFIED, TlsPolicy("opportunistic", "mta-sts", testing=True), False),
        (VERIFIED, NEVER, False),
    ],
)
def test_a_stricter_connection_is_good_for_a_mail_that_asks_for_less(
    opened: TlsPolicy, wanted: TlsPolicy, good: bool
) -> None:
    assert opened.good_for(wanted) == good


@pytest.mark.parametrize(
    ("code", "failure"),
    [
        (10, "certificate-expired"),
        (62, "certificate-host-mismatch"),
        (18, "certificate-not-trusted"),
        (20, "certificate-not-trusted"),
    ],
)
def test_what_openssl_says_has_a_word_of_rfc_8460(code: int, failure: str) -> None:
    assert failure_of(code) == failure
