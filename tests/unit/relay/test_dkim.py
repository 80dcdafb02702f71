"""Our signatures verify for others, and do not verify what was changed."""

import re
from functools import cache

import dkim
import pytest
from dkim.canonicalization import Relaxed
from hypothesis import given, settings
from hypothesis import strategies as st

from services.relay.dkim import Signer
from shared import addresses, dkim_keys, headers, quoted_printable

Fields = list[tuple[bytes, bytes]]
ALGORITHMS: tuple[dkim_keys.Algorithm, ...] = ("rsa-sha256", "ed25519-sha256")

algorithms = st.sampled_from(ALGORITHMS)
words = st.text(st.characters(codec="utf-8"), max_size=120)


@cache
def pem(algorithm: dkim_keys.Algorithm) -> str:
    return dkim_keys.make(algorithm)


@cache
def signer(algorithm: dkim_keys.Algorithm) -> Signer:
    return Signer("exemple.fr", "est1", pem(algorithm))


@cache
def record(algorithm: dkim_keys.Algorithm) -> bytes:
    return dkim_keys.record(pem(algorithm)).encode()


def message(fields: Fields, body: bytes) -> bytes:
    return b"".join([*(b"%b: %b\r\n" % field for field in fields), b"\r\n", body])


def verifies(algorithm: dkim_keys.Algorithm, mail: bytes) -> bool:
    published = {b"est1._domainkey.exemple.fr.": record(algorithm)}
    return bool(dkim.verify(mail, dnsfunc=lambda name, timeout=5: published[name]))


def fields_of(name: str, subject: str) -> Fields:
    """Header fields as the relay writes them."""
    return [
        (b"From", addresses.format_mailbox(name, "news@exemple.fr", 4).encode()),
        (b"To", addresses.format_mailbox(subject, "ana@exemple.com", 2).encode()),
        (b"Subject", headers.unstructured(subject, 7).encode()),
        (b"Date", b"Tue, 14 Nov 2023 22:13:20 +0000"),
        (b"Message-ID", b"<000g40o40k30e209185g.7@exemple.fr>"),
        (b"List-Unsubscribe", b"<https://e.fr/u/abc>,\r\n <mailto:u-abc@e.fr>"),
        (b"List-Unsubscribe-Post", b"List-Unsubscribe=One-Click"),
        (b"Reply-To", b"contact@exemple.fr"),
        (b"X-Other", b"not signed"),
        (b"MIME-Version", b"1.0"),
        (b"Content-Type", b'multipart/alternative;\r\n boundary="=_a"'),
    ]


@settings(deadline=None)
@given(algorithms, words, words, st.text(st.characters(codec="utf-8"), max_size=500))
def test_mails_as_the_relay_makes_them_verify(
    algorithm: dkim_keys.Algorithm, name: str, subject: str, text: str
) -> None:
    fields = fields_of(name, subject)
    body = quoted_printable.encode(text.rstrip("\r\n") + ".\n")

    signature = signer(algorithm).sign(fields, body, 1_700_000_000)

    assert verifies(algorithm, signature + message(fields, body))


@settings(deadline=None)
@given(algorithms, st.binary(max_size=300) | st.text(" .\t\r\nab", max_size=300).map(str.encode))
def test_any_relaxed_body_verifies(algorithm: dkim_keys.Algorithm, raw: bytes) -> None:
    lines = raw.replace(b"\r", b"").split(b"\n")
    body = Relaxed.canonicalize_body(b"\r\n".join(lines) + b"\r\n")
    fields = fields_of("", "")

    signature = signer(algorithm).sign(fields, body, 1_700_000_000)

    assert verifies(algorithm, signature + message(fields, body))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("body", [b"", b".\r\n..\r\n", b"x" * 900 + b"\r\n", "été\r\n".encode()])
def test_odd_bodies_verify(algorithm: dkim_keys.Algorithm, body: bytes) -> None:
    fields = fields_of("Zoé", "Été")

    signature = signer(algorithm).sign(fields, body, 1_700_000_000)

    assert verifies(algorithm, signature + message(fields, body))


@settings(deadline=None)
@given(st.lists(st.sampled_from([b"a", b"  ", b"\t", b"\r\n ", b"\r\n\t", b" ", b"b:", b"\r\n  "]), max_size=8))
def test_header_fields_folded_in_any_way_verify(pieces: list[bytes]) -> None:
    fields = [(b"From", b"a@exemple.fr"), (b"Subject", b"x" + b"".join(pieces) + b"y"), (b"X-END", b"z")]
    body = b"a\r\n"

    signature = signer("rsa-sha256").sign(fields, body, 1_700_000_000)

    assert verifies("rsa-sha256", signature + message(fields, body))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"Bonjour", b"Bonsoir"),
        (b"ana@", b"eve@"),
        (b"https://e.fr/u/", b"https://e.fr/x/"),
        (b"One-Click", b"Two-Click"),
        (b"hello", b"hullo"),
        (b"From: ", b"From: eve@exemple.fr\r\nFrom: "),
        (b"multipart/alternative", b"multipart/mixed"),
        (b"contact@", b"contract@"),
        (b"14 Nov", b"15 Nov"),
    ],
)
def test_a_change_is_noticed(old: bytes, new: bytes) -> None:
    fields = fields_of("Chouette", "Bonjour")
    mail = signer("rsa-sha256").sign(fields, b"hello\r\n", 1_700_000_000) + message(fields, b"hello\r\n")
    assert verifies("rsa-sha256", mail)

    assert old in mail
    assert not verifies("rsa-sha256", mail.replace(old, new, 1))


def test_what_is_not_signed_may_change() -> None:
    fields = fields_of("Chouette", "Bonjour")
    mail = signer("rsa-sha256").sign(fields, b"hello\r\n", 1_700_000_000) + message(fields, b"hello\r\n")

    assert verifies("rsa-sha256", b"Received: by x\r\n" + mail.replace(b"not signed", b"changed"))


def test_two_signatures_stand_side_by_side() -> None:
    fields = fields_of("Chouette", "Bonjour")
    first = signer("rsa-sha256").sign(fields, b"hello\r\n", 1_700_000_000)
    second = signer("ed25519-sha256").sign(fields, b"hello\r\n", 1_700_000_000)

    assert verifies("rsa-sha256", first + second + message(fields, b"hello\r\n"))
    assert verifies("ed25519-sha256", second + first + message(fields, b"hello\r\n"))


def test_the_signature_says_what_it_covers() -> None:
    field = signer("rsa-sha256").sign(fields_of("Chouette", "Bonjour"), b"", 1_700_000_000)

    tags = dict(tag.strip().split(b"=", 1) for tag in re.sub(rb"\s", b"", field[len(b"DKIM-Signature:") :]).split(b";"))
    names = tags[b"h"].split(b":")
    assert names.count(b"from") == 2
    assert {b"list-unsubscribe", b"list-unsubscribe-post", b"to", b"subject", b"date"} <= set(names)
    assert b"x-other" not in names
    assert (tags[b"d"], tags[b"s"], tags[b"a"]) == (b"exemple.fr", b"est1", b"rsa-sha256")
    assert (tags[b"t"], tags[b"c"], tags[b"v"]) == (b"1700000000", b"relaxed/relaxed", b"1")
    assert max(map(len, field.split(b"\r\n"))) <= 78
    assert field.endswith(b"\r\n")


def test_what_is_no_key_is_refused_without_being_shown() -> None:
    for nonsense in ("nonsense", b"\xff", "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n"):
        with pytest.raises(dkim_keys.InvalidKey) as caught:
            Signer("exemple.fr", "est1", nonsense)
        assert "c2VjcmV0" not in str(caught.value)
