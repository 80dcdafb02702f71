"""DKIM keys: what signs, what is published, and how they lie encrypted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.mail import dkim_keys
from shared.mail.dkim_keys import CannotOpen, Vault

PEM = dkim_keys.make("ed25519-sha256")
NONCE = bytes(range(dkim_keys.NONCE_BYTES))
OLD, NEW = b"o" * 32, b"n" * 32


@pytest.fixture(scope="module")
def rsa() -> str:
    return dkim_keys.make()


def test_a_key_signs_digests(rsa: str) -> None:
    sign = dkim_keys.signer(rsa)

    assert len(sign(bytes(32))) == 256
    assert sign(bytes(32)) == sign(bytes(32)) != sign(b"x" * 32)
    assert len(dkim_keys.signer(PEM)(bytes(32))) == 64


def test_a_key_names_itself_and_its_kind(rsa: str) -> None:
    assert [dkim_keys.algorithm(pem) for pem in (rsa, PEM)] == ["rsa-sha256", "ed25519-sha256"]
    assert dkim_keys.selector(PEM).startswith("est")
    assert dkim_keys.selector(PEM) == dkim_keys.selector(PEM) != dkim_keys.selector(rsa)


def test_what_is_no_key_is_refused() -> None:
    with pytest.raises(dkim_keys.InvalidKey):
        dkim_keys.signer("nonsense")


@given(st.binary(min_size=32, max_size=64), st.binary(min_size=12, max_size=12))
def test_what_is_sealed_opens_again(secret: bytes, nonce: bytes) -> None:
    vault = Vault(secret)

    sealed = vault.seal(PEM, "exemple.fr", "est1", nonce)

    assert vault.open(sealed, "exemple.fr", "est1") == PEM
    assert vault.is_current(sealed)
    assert b"PRIVATE" not in sealed


def test_a_sealed_key_is_bound_to_its_domain_and_selector() -> None:
    sealed = Vault(NEW).seal(PEM, "exemple.fr", "est1", NONCE)

    for domain, selector in (("exemple.com", "est1"), ("exemple.fr", "est2")):
        with pytest.raises(CannotOpen):
            Vault(NEW).open(sealed, domain, selector)


def test_a_former_secret_still_opens_and_seals_nothing_more() -> None:
    old, both = Vault(OLD), Vault(NEW, [OLD])
    sealed = old.seal(PEM, "exemple.fr", "est1", NONCE)

    assert both.open(sealed, "exemple.fr", "est1") == PEM
    assert not both.is_current(sealed)
    again = both.seal(PEM, "exemple.fr", "est1", NONCE)
    assert Vault(NEW).open(again, "exemple.fr", "est1") == PEM


def test_what_does_not_open_says_why_and_shows_nothing() -> None:
    sealed = Vault(OLD).seal(PEM, "exemple.fr", "est1", NONCE)

    with pytest.raises(CannotOpen, match=r"est1 of exemple\.fr is encrypted under another master secret"):
        Vault(NEW).open(sealed, "exemple.fr", "est1")
    for at in range(5, len(sealed), 7):
        damaged = sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :]
        with pytest.raises(CannotOpen, match="damaged"):
            Vault(OLD).open(damaged, "exemple.fr", "est1")
    for nonsense in (b"", PEM.encode(), b"\x01", b"\x02" + sealed[1:], sealed[:5], sealed[:17], sealed[:20]):
        with pytest.raises(CannotOpen):
            Vault(OLD).open(nonsense, "exemple.fr", "est1")
