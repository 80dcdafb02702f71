"""Our signatures verify for others, and do not verify what was changed."""

import re
from functools import cache

import dkim
import pytest
from dkim.canonicalization import Relaxed
from hypothesis import given, settings
from hypothesis import strategies as st

from services.relay.signing.dkim import GUARDED, Signer, sign
from shared.mail import (
    addresses,
    dkim_keys,
    headers,
    quoted_printable,
)

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


def verdicts(mail: bytes) -> list[bool]:
    """What dkimpy says of each signature, RSA being the first."""
    return [verified(dkim.DKIM(mail), at, record(algorithm)) for at, algorithm in enumerate(ALGORITHMS)]


def verified(mail: dkim.DKIM, at: int, published: bytes) -> bool:
    try:
        return bool(mail.verify(at, dnsfunc=lambda name, timeout=5: published))
    except dkim.ValidationError:
        return False


def split(signatures: bytes) -> list[bytes]:
    """The DKIM-Signature fields, each whole."""
    return [b"DKIM-Signature:" + field for field in signatures.split(b"DKIM-Signature:")[1:]]


def tags_of(field: bytes) -> dict[bytes, bytes]:
    bare = re.sub(rb"\s", b"", field[len(b"DKIM-Signature:") :])
    return dict(tag.split(b"=", 1) for tag in bare.split(b";"))


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

    signature = sign([signer(algorithm)], fields, body, 1_700_000_000)

    assert verifies(algorithm, signature + message(fields, body))


@settings(deadline=None)
@given(algorithms, st.binary(max_size=300) | st.text(" .\t\r\nab", max_size=300).map(str.encode))
def test_any_relaxed_body_verifies(algorithm: dkim_keys.Algorithm, raw: bytes) -> None:
    lines = raw.replace(b"\r", b"").split(b"\n")
    body = Relaxed.canonicalize_body(b"\r\n".join(lines) + b"\r\n")
    fields = fields_of("", "")

    signature = sign([signer(algorithm)], fields, body, 1_700_000_000)

    assert verifies(algorithm, signature + message(fields, body))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("body", [b"", b".\r\n..\r\n", b"x" * 900 + b"\r\n", "été\r\n".encode()])
def test_odd_bodies_verify(algorithm: dkim_keys.Algorithm, body: bytes) -> None:
    fields = fields_of("Zoé", "Été")

    signature = sign([signer(algorithm)], fields, body, 1_700_000_000)

    assert verifies(algorithm, signature + message(fields, body))


@settings(deadline=None)
@given(st.lists(st.sampled_from([b"a", b"  ", b"\t", b"\r\n ", b"\r\n\t", b" ", b"b:", b"\r\n  "]), max_size=8))
def test_header_fields_folded_in_any_way_verify(pieces: list[bytes]) -> None:
    """Inside, and where a value begins or ends."""
    body = b"a\r\n"
    for before, after in ((b"x", b"y"), (b"", b"y"), (b"x", b"")):
        subject = before + b"".join(pieces) + after
        fields = [(b"From", b"a@exemple.fr"), (b"Subject", subject), (b"To", b"b@exemple.fr"), (b"X-END", b"z")]

        signature = sign([signer("ed25519-sha256")], fields, body, 1_700_000_000)

        assert verifies("ed25519-sha256", signature + message(fields, body)), subject


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
    mail = sign([signer("rsa-sha256")], fields, b"hello\r\n", 1_700_000_000) + message(fields, b"hello\r\n")
    assert verifies("rsa-sha256", mail)

    assert old in mail
    assert not verifies("rsa-sha256", mail.replace(old, new, 1))


def test_what_is_not_signed_may_change() -> None:
    fields = fields_of("Chouette", "Bonjour")
    mail = sign([signer("rsa-sha256")], fields, b"hello\r\n", 1_700_000_000) + message(fields, b"hello\r\n")

    assert verifies("rsa-sha256", b"Received: by x\r\n" + mail.replace(b"not signed", b"changed"))


@settings(deadline=None)
@given(words, words, st.text(st.characters(codec="utf-8"), max_size=500))
def test_both_signatures_of_a_mail_verify(name: str, subject: str, text: str) -> None:
    fields = fields_of(name, subject)
    body = quoted_printable.encode(text.rstrip("\r\n") + ".\n")

    mail = sign([signer(algorithm) for algorithm in ALGORITHMS], fields, body, 1_700_000_000) + message(fields, body)

    assert verdicts(mail) == [True, True]
    assert verdicts(mail[:-3] + b"!\r\n") == [False, False]


def test_signatures_come_in_the_order_of_their_keys() -> None:
    """RSA first, as the relay asks: there are verifiers that read the first alone."""
    both = sign([signer("rsa-sha256"), signer("ed25519-sha256")], fields_of("", ""), b"", 1_700_000_000)

    assert [tags_of(field)[b"a"] for field in split(both)] == [b"rsa-sha256", b"ed25519-sha256"]


def test_a_mail_without_keys_has_no_signature() -> None:
    assert sign([], fields_of("", ""), b"", 1_700_000_000) == b""


def test_a_mail_signed_at_the_same_time_is_signed_the_same() -> None:
    signers = [signer("rsa-sha256"), signer("ed25519-sha256")]

    one, other = (sign(signers, fields_of("a", "b"), b"", 1_700_000_000) for _ in range(2))

    assert one == other


def test_the_signature_says_what_it_covers() -> None:
    for field in split(sign([signer("rsa-sha256")] * 2, fields_of("Chouette", "Bonjour"), b"", 1_700_000_000)):
        tags = tags_of(field)
        names = tags[b"h"].split(b":")
        assert {b"list-unsubscribe", b"list-unsubscribe-post", b"to", b"subject", b"date"} <= set(names)
        assert b"x-other" not in names
        assert (tags[b"d"], tags[b"s"], tags[b"a"]) == (b"exemple.fr", b"est1", b"rsa-sha256")
        assert (tags[b"t"], tags[b"c"], tags[b"v"]) == (b"1700000000", b"relaxed/relaxed", b"1")
        assert max(map(len, field.split(b"\r\n"))) <= 78
        assert field.endswith(b"\r\n")


def test_what_would_deceive_is_named_once_more_than_it_occurs() -> None:
    present = {name.lower() for name, _ in fields_of("", "")}

    (field,) = split(sign([signer("rsa-sha256")], fields_of("", ""), b"", 1_700_000_000))

    names = tags_of(field)[b"h"].split(b":")
    assert {name: names.count(name) for name in GUARDED} == {name: 1 + (name in present) for name in GUARDED}


@pytest.mark.parametrize("name", GUARDED)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_adding_what_would_deceive_breaks_the_signature(algorithm: dkim_keys.Algorithm, name: bytes) -> None:
    """On top of the header, where a host on the way puts it, and at its end; there already or not."""
    fields = fields_of("Chouette", "Bonjour")
    header, body = message(fields, b"").removesuffix(b"\r\n"), b"\r\nhello\r\n"
    signature = sign([signer(algorithm)], fields, b"hello\r\n", 1_700_000_000)
    added = b"%b: eve@exemple.fr\r\n" % name.title()

    assert verifies(algorithm, signature + header + body)
    assert not verifies(algorithm, added + signature + header + body)
    assert not verifies(algorithm, signature + header + added + body)


def test_what_software_acts_upon_is_guarded() -> None:
    """RFC 8058 section 4, RFC 9477 section 3.1.4, and Gmail's word on Feedback-ID."""
    assert {b"list-unsubscribe", b"list-unsubscribe-post", b"cfbl-address", b"cfbl-feedback-id", b"feedback-id"} <= set(
        GUARDED
    )


def test_what_is_no_key_is_refused_without_being_shown() -> None:
    for nonsense in ("nonsense", b"\xff", "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n"):
        with pytest.raises(dkim_keys.InvalidKey) as caught:
            Signer("exemple.fr", "est1", nonsense)
        assert "c2VjcmV0" not in str(caught.value)
