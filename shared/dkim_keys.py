"""DKIM keys of sending domains: made, published and signed with here; nothing else touches their cryptography.

A private key is PEM text (PKCS #8). Its selector is derived from the public key, so that a new key has a new selector
and the old record can stay in DNS until the mails that it signed are read (RFC 6376 section 3.1).
"""

from base64 import b64encode
from collections.abc import Callable
from hashlib import sha256

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

#: RFC 8301 section 3.2: at least 1024, should be 2048; longer keys do not fit the DNS of many.
RSA_BITS = 2048


class InvalidKey(ValueError):
    """Not an RSA private key in PEM. The message never shows it."""


def make() -> str:
    """A new private key. Takes a tenth of a second or more of one core: call it in a thread."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode("ascii")


def selector(pem: str) -> str:
    """A DNS label that names this key: `est` and eight hex digits of the public key's digest."""
    return f"est{sha256(_public(pem)).hexdigest()[:8]}"


def record(pem: str) -> str:
    """The TXT record for `<selector>._domainkey.<domain>` (RFC 6376 section 3.6.1)."""
    return f"v=DKIM1; k=rsa; p={b64encode(_public(pem)).decode('ascii')}"


def signer(pem: str) -> Callable[[bytes], bytes]:
    """A function that signs bytes with rsa-sha256. Loading costs 26 ms and more, a signature 0.2 ms: keep it."""
    key = _load(pem)
    scheme, digest = padding.PKCS1v15(), hashes.SHA256()

    def sign(message: bytes) -> bytes:
        return key.sign(message, scheme, digest)

    return sign


def _public(pem: str) -> bytes:
    return (
        _load(pem)
        .public_key()
        .public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


def _load(pem: str) -> rsa.RSAPrivateKey:
    try:
        key = serialization.load_pem_private_key(pem.encode("ascii"), password=None)
    except (ValueError, TypeError) as error:
        raise InvalidKey("not a private key in PEM") from error
    if not isinstance(key, rsa.RSAPrivateKey):
        raise InvalidKey("not an RSA key")
    return key
