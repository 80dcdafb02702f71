"""Only a signature that holds is valid, as the relay makes them and as another program does; whatever does not is told
apart by why."""

import base64
import re
from collections.abc import Callable
from functools import cache

import dkim as dkimpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.local.mailbox import dkim
from services.local.mailbox.dkim import Verdict
from services.relay.signing import dkim as relay_dkim
from shared.mail import dkim_keys

NOW_S = 1_760_000_000
FIELDS = [
    (b"From", b"Chouette <news@exemple.fr>"),
    (b"To", b"ana@example.org"),
    (b"Subject", b"Bonjour  Ana\r\n et les autres"),
    (b"Date", b"Thu, 09 Oct 2025 08:53:20 +0000"),
    (b"Message-ID", b"<a.0@exemple.fr>"),
]
BODY = b"Bonjour\r\n\r\n  Les soldes \t sont l=C3=A0\r\n"


@cache
def pem(kind: dkim_keys.Algorithm) -> str:
    return dkim_keys.make(kind)


def signed(*kinds: dkim_keys.Algorithm, body: bytes = b"Bonjour\r\n", now_s: int = NOW_S) -> bytes:
    """As the relay does it."""
    signers = [relay_dkim.Signer("exemple.fr", dkim_keys.selector(pem(kind)), pem(kind)) for kind in kinds]
    field = relay_dkim.sign(signers, FIELDS, body, now_s)
    return field + b"".join(b"%b: %b\r\n" % one for one in FIELDS) + b"\r\n" + body


def signed_elsewhere(forms: tuple[bytes, bytes] = (b"relaxed", b"relaxed"), length: bool = False) -> bytes:
    """As dkimpy does it."""
    message = b"".join(b"%b: %b\r\n" % one for one in FIELDS) + b"\r\n" + BODY
    field = dkimpy.sign(message, b"est1", b"exemple.fr", pem("rsa-sha256").encode(), canonicalize=forms, length=length)
    return bytes(field) + message


def records() -> list[str]:
    return [dkim_keys.record(pem("rsa-sha256"))]


def verdicts(raw: bytes, found: list[str] | None, now_s: int = NOW_S) -> list[Verdict]:
    return [dkim.verdict(one, found, now_s) for one in dkim.signatures(raw)]


def changed(tag: str, value: str) -> Callable[[bytes], bytes]:
    """Another value of that tag of the signature."""

    def change(raw: bytes) -> bytes:
        new, number = re.subn(
            rf"([;\s]){tag}=.*?(?=;|\r\n\S)".encode(), rb"\1" + f"{tag}={value}".encode(), raw, count=1, flags=re.DOTALL
        )
        assert number == 1
        return new

    return change


@pytest.mark.parametrize("kind", ["rsa-sha256", "ed25519-sha256"])
def test_what_the_relay_signs_is_valid(kind: dkim_keys.Algorithm) -> None:
    assert verdicts(signed(kind), [dkim_keys.record(pem(kind))]) == ["valid"]


def test_each_signature_of_a_message_is_judged_by_its_own_key() -> None:
    raw = signed("rsa-sha256", "ed25519-sha256")
    found = {dkim_keys.selector(pem(kind)): dkim_keys.record(pem(kind)) for kind in ("rsa-sha256", "ed25519-sha256")}

    read = dkim.signatures(raw)

    assert [(one.domain, one.selector) for one in read] == [("exemple.fr", selector) for selector in found]
    assert [dkim.verdict(one, [found[one.selector]], NOW_S) for one in read] == ["valid", "valid"]
    assert [dkim.verdict(one, [record], NOW_S) for one, record in zip(read, reversed(found.values()), strict=True)] == [
        "bad_key",
        "bad_key",
    ]


@pytest.mark.parametrize("header", [b"simple", b"relaxed"])
@pytest.mark.parametrize("body", [b"simple", b"relaxed"])
def test_what_another_program_signs_is_valid_in_every_form(header: bytes, body: bytes) -> None:
    assert verdicts(signed_elsewhere((header, body)), records()) == ["valid"]
    assert verdicts(signed_elsewhere((header, body)).replace(b"\r\n", b"\n"), records()) == ["valid"]


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.sampled_from([b" ", b"\t", b"a", b"\r\n", b"."]), max_size=12).map(
        lambda parts: b"".join([*parts, b"\r\n"])
    )
)
def test_bodies_are_read_as_another_verifier_reads_them(body: bytes) -> None:
    for form in (b"simple", b"relaxed"):
        message = b"From: a@exemple.fr\r\n\r\n" + body
        field = dkimpy.sign(
            message, b"est1", b"exemple.fr", pem("rsa-sha256").encode(), canonicalize=(b"relaxed", form)
        )
        assert verdicts(bytes(field) + message, records()) == ["valid"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda raw: raw.replace(b"Bonjour\r\n\r\n", b"Bonsoir\r\n\r\n"), "body"),
        (lambda raw: raw + b"and this\r\n", "body"),
        (lambda raw: raw.replace(b"Chouette <news", b"Hulotte <news"), "broken"),
        (lambda raw: raw.replace(b"\r\nSubject:", b"\r\nSubject: Another\r\nSubject:"), "valid"),
        (lambda raw: raw.replace(b"\r\nMessage-ID:", b"\r\nSubject: Another\r\nMessage-ID:"), "broken"),
        (changed("b", base64.b64encode(bytes(256)).decode()), "broken"),
        (changed("b", "AAAA"), "broken"),
        (changed("b", "*"), "malformed"),
        (changed("b", ""), "malformed"),
        (changed("d", "autre.fr"), "malformed"),  # what i= names is not below it
        (changed("bh", "AAAA"), "body"),
        (changed("v", "2"), "malformed"),
        (changed("h", "to:subject"), "malformed"),
        (changed("c", "loose/relaxed"), "malformed"),
        (changed("a", "rsa-sha1"), "weak"),
        (changed("a", "ed25519-sha256"), "bad_key"),
        (changed("t", "soon"), "malformed"),
        (lambda raw: raw.replace(b"; s=est1;", b"; s=est1; x=1;"), "malformed"),  # over before it was made
        (lambda raw: raw.replace(b"; s=est1;", b"; s=est1; s=est2;"), "malformed"),
        (lambda raw: raw.replace(b"; s=est1;", b"; s=est1; l=99999;"), "body"),
        (lambda raw: raw.replace(b"DKIM-Signature: ", b"DKIM-Signature: nonsense; "), "malformed"),
    ],
)
def test_what_was_changed_since_is_not_valid(change: Callable[[bytes], bytes], expected: Verdict) -> None:
    assert verdicts(change(signed_elsewhere()), records(), 2_000_000_000) == [expected]


def test_what_is_signed_in_part_alone_does_not_count() -> None:
    raw = signed_elsewhere(length=True)

    assert verdicts(raw, records()) == ["valid"]
    assert verdicts(raw + b"and this\r\n", records()) == ["part"]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (None, "unavailable"),
        ([], "no_key"),
        (["v=spf1 -all"], "bad_key"),
        (["v=DKIM1; p="], "revoked"),
        (["v=DKIM1; p=AAAA"], "bad_key"),
        (["v=DKIM1; p=***"], "bad_key"),
        ([dkim_keys.record(dkim_keys.make())], "broken"),
        (["v=DKIM1; k=ed25519; p=AAAA"], "bad_key"),
        (["v=DKIM1; h=sha1; p=AAAA"], "bad_key"),
        (["v=DKIM1; s=tlsrpt; p=AAAA"], "bad_key"),
        (["v=DKIM2; p=AAAA"], "bad_key"),
    ],
)
def test_what_the_key_says_counts(found: list[str] | None, expected: Verdict) -> None:
    assert verdicts(signed("rsa-sha256"), found) == [expected]


def test_a_right_key_beside_a_wrong_one_will_do() -> None:
    assert verdicts(signed("rsa-sha256"), [dkim_keys.record(dkim_keys.make()), *records()]) == ["valid"]


def test_a_signature_that_has_expired_is_told_so() -> None:
    until_s = 4_000_000_000
    (one,) = dkim.signatures(signed_elsewhere().replace(b"; s=est1;", b"; s=est1; x=%d;" % until_s))

    assert dkim.verdict(one, records(), until_s) == "expired"
    assert dkim.verdict(one, records(), until_s - 1) == "broken"  # the tag was not signed


def test_a_message_may_have_any_number_of_signatures_and_a_few_are_looked_at() -> None:
    raw = b"DKIM-Signature: v=1\r\n" * 1000 + signed("rsa-sha256")

    assert verdicts(raw, records()) == ["malformed"] * dkim.MOST_SIGNATURES


@given(st.binary(max_size=200))
def test_nothing_that_comes_is_an_error(raw: bytes) -> None:
    for whole in (raw, b"DKIM-Signature: " + raw + b"\r\n\r\n", b"DKIM-Signature: v=1; a=rsa-sha256; b=" + raw):
        verdicts(whole, ["v=DKIM1; p=" + base64.b64encode(raw).decode()])


def test_a_message_without_a_signature_has_none() -> None:
    assert dkim.signatures(b"From: a@b.example\r\n\r\nDKIM-Signature: v=1\r\n") == []
