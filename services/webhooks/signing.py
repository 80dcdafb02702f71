"""Secrets and signatures of Standard Webhooks 1.0: HMAC-SHA256 (`v1`), or Ed25519 (`v1a`) for who shares no secret.

What is signed is `id.timestamp.body`. While a secret is replaced both sign, with a blank between the signatures: the
receiver takes whichever it knows.
"""

import hmac
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from typing import Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

Algorithm = Literal["hmac-sha256", "ed25519"]
#: Random bytes of a secret: Standard Webhooks asks for 24 to 64, Ed25519 for 32.
SECRET_BYTES = 32
_PREFIX = {"hmac-sha256": "whsec_", "ed25519": "whsk_"}

Sign = Callable[[bytes], bytes]


class InvalidSecret(ValueError):
    """Not a secret of ours. The message never shows it."""


def make(algorithm: Algorithm, chance: bytes) -> str:
    """A secret of so many random bytes (`SECRET_BYTES`)."""
    return _PREFIX[algorithm] + b64encode(chance).decode("ascii")


def check(text: str) -> None:
    """Of a secret that a tenant brings: `whsec_` and base64 of 24 to 64 bytes. InvalidSecret."""
    if not text.startswith("whsec_"):
        raise InvalidSecret("a secret begins with whsec_")
    if not 24 <= len(_bytes(text)) <= 64:
        raise InvalidSecret("a secret has 24 to 64 bytes")


def signer(secret: str) -> Sign:
    """A function that gives one signature of what is signed, with its version: keep it. InvalidSecret."""
    key = _bytes(secret)
    if secret.startswith("whsec_"):
        return lambda signed: b"v1," + b64encode(hmac.digest(key, signed, "sha256"))
    sign = _private(key).sign
    return lambda signed: b"v1a," + b64encode(sign(signed))


def public_key(secret: str) -> str | None:
    """What the receiver verifies by, `whpk_…`, where it shares no secret."""
    if secret.startswith("whsec_"):
        return None
    public = _private(_bytes(secret)).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return "whpk_" + b64encode(public).decode("ascii")


def headers(signers: Sequence[Sign], key: str, timestamp_s: int, body: bytes) -> bytes:
    """The three header lines of a request, each ended."""
    signed = b"%b.%d.%b" % (key.encode("ascii"), timestamp_s, body)
    signatures = b" ".join([sign(signed) for sign in signers])
    return b"webhook-id: %b\r\nwebhook-timestamp: %d\r\nwebhook-signature: %b\r\n" % (
        key.encode("ascii"), timestamp_s, signatures,
    )  # fmt: skip


def _private(seed: bytes) -> Ed25519PrivateKey:
    try:
        return Ed25519PrivateKey.from_private_bytes(seed)
    except ValueError:
        raise InvalidSecret("not a key of Ed25519") from None


def _bytes(secret: str) -> bytes:
    try:
        return b64decode(secret.partition("_")[2], validate=True)
    except ValueError:
        raise InvalidSecret("what follows the prefix is no base64") from None
