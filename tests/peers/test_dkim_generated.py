"""Two hundred mails of every kind before two strangers: opendkim and dkimpy verify both signatures of each."""

from collections.abc import Sequence
from email import message_from_bytes
from pathlib import Path
from random import Random

import dkim
import pytest

from services.relay.signing.dkim import Signer
from shared.mail import dkim_keys
from tests.peers import generated, opendkim

ALGORITHMS: tuple[dkim_keys.Algorithm, ...] = ("rsa-sha256", "ed25519-sha256")


@pytest.fixture(scope="module")
def pems() -> dict[str, str]:
    """By selector: one key of each kind, RSA first."""
    made = [dkim_keys.make(algorithm) for algorithm in ALGORITHMS]
    return {dkim_keys.selector(pem): pem for pem in made}


@pytest.fixture(scope="module")
def mails(pems: dict[str, str]) -> list[bytes]:
    return list(generated.mails([Signer(generated.DOMAIN, selector, pem) for selector, pem in pems.items()]))


def dkimpy(mails: Sequence[bytes], pems: dict[str, str]) -> list[list[bool]]:
    """What dkimpy says of both signatures of each mail."""
    published = {
        f"{selector}._domainkey.{generated.DOMAIN}.": dkim_keys.record(pem).encode() for selector, pem in pems.items()
    }

    def verified(mail: dkim.DKIM, at: int) -> bool:
        try:
            return bool(mail.verify(at, dnsfunc=lambda name, timeout=5: published[name.decode()]))
        except (dkim.ValidationError, dkim.MessageFormatError):
            return False

    return [[verified(dkim.DKIM(mail), at) for at in range(2)] for mail in mails]


def tampered(mail: bytes, chance: Random) -> bytes:
    """With something that is signed changed, added or taken away."""
    signatures, fields, body = parts(mail)
    match chance.randrange(4 if body else 3):
        case 0:
            fields = fields.replace(b"From: ", b"From: eve@evil.test\r\nFrom: ", 1)
        case 1:
            fields = fields.replace(b"Subject: ", b"Subject: Re: ", 1)
        case 2:
            fields += (
                chance.choice((b"Cc: eve@evil.test", b"List-Unsubscribe: <https://evil.test>", b"Date: x")) + b"\r\n"
            )
        case _:
            at = chance.choice([at for at, byte in enumerate(body) if byte not in b" \r\n"] or [0])
            body = body[:at] + bytes([body[at] ^ 1 if body[at] ^ 1 not in b"\t\n\r " else 0x58]) + body[at + 1 :]
    return signatures + fields + b"\r\n" + body


def parts(mail: bytes) -> tuple[bytes, bytes, bytes]:
    """Signatures, the other fields, body."""
    header, _, body = mail.partition(b"\r\n\r\n")
    last = header.rindex(b"DKIM-Signature:")
    end = last
    while header[(end := header.index(b"\r\n", end) + 2) :][:1] == b" ":
        pass
    return header[:end], header[end:] + b"\r\n", body


def test_they_are_of_every_kind(mails: list[bytes]) -> None:
    split = [parts(mail) for mail in mails]
    bodies = [body for *_, body in split]

    assert len(mails) == len(set(mails)) == 200
    assert any(body == b"" for body in bodies)
    assert any(b"\r\n." in body for body in bodies)
    assert any(max(map(len, body.split(b"\r\n"))) > 900 for body in bodies)
    assert any(not body.isascii() for body in bodies)
    assert any(b"\r\n\t" in fields for _, fields, _ in split)
    assert any(not fields.isascii() for _, fields, _ in split)
    assert any(b"=?utf-8?" in fields for _, fields, _ in split)
    assert all(b"multipart" in mail or b"quoted-printable" in mail for mail in mails[: generated.MADE])
    for mail in mails:
        assert len(message_from_bytes(mail).get_all("DKIM-Signature", [])) == 2
        assert b"\r" not in mail.replace(b"\r\n", b"")
        assert b"\n" not in mail.replace(b"\r\n", b"")


def test_opendkim_verifies_both_signatures_of_two_hundred_mails(
    mails: list[bytes], pems: dict[str, str], tmp_path: Path
) -> None:
    verdicts = opendkim.tested(mails, generated.DOMAIN, pems, tmp_path)

    for number, (rsa, ed25519) in enumerate(verdicts):
        assert rsa.startswith("pass (2048-bit key"), (number, rsa)
        assert "header.a=rsa-sha256" in rsa
        assert ed25519.startswith("pass"), (number, ed25519)
        assert "header.a=ed25519-sha256" in ed25519
    assert len(verdicts) == 200


def test_dkimpy_verifies_both_signatures_of_two_hundred_mails(mails: list[bytes], pems: dict[str, str]) -> None:
    assert dkimpy(mails, pems) == [[True, True]] * 200


def test_promise_7_neither_takes_what_was_changed(mails: list[bytes], pems: dict[str, str], tmp_path: Path) -> None:
    chance = Random(generated.SEED)
    changed = [tampered(mail, chance) for mail in mails]
    assert all(before != after for before, after in zip(mails, changed, strict=True))

    assert dkimpy(changed, pems) == [[False, False]] * 200
    for number, verdicts in enumerate(opendkim.tested(changed, generated.DOMAIN, pems, tmp_path)):
        assert [verdict.startswith("fail") for verdict in verdicts] == [True, True], (number, verdicts)
