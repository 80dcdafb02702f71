"""DKIM keys of sending domains: made, published, signed with and encrypted; nothing else touches their cryptography.

At rest a private key is encrypted by a `Vault` under the master secret; out of it, it is PEM text (PKCS #8). Its
selector is derived from the public key, so that a new key has a new selector and the old record can stay in DNS until
the mails that it signed are read (RFC 6376 section 3.1).
"""

import hmac
from base64 import b64encode
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Literal

from cryptography.exceptions import InvalidSignature, InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa, utils
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

#: RFC 8301 section 3.2: at least 1024, should be 2048; longer keys do not fit the DNS of many.
RSA_BITS = 2048
#: NIST SP 800-38D section 8.2.2: 96 random bits are good for 2^32 encryptions under one key.
NONCE_BYTES = 12

#: RFC 6376 section 3.3, RFC 8463 section 3.
Algorithm = Literal["rsa-sha256", "ed25519-sha256"]


class InvalidKey(ValueError):
    """Not an RSA or Ed25519 private key in PEM. The message never shows it."""


class CannotOpen(Exception):
    """No master secret that this process has opens this private key, or somebody changed it. The message never shows
    it."""


class Vault:
    """Private keys at rest: AES-256-GCM under a key derived from the master secret, bound to domain and selector, so
    that none can be put in the place of another. What `previous` secrets sealed is still opened.

    The bytes: 1 · the sealing key's id (4) · the nonce (12) · ciphertext and tag (16).
    """

    def __init__(self, current: bytes, previous: Sequence[bytes] = ()) -> None:
        derived = [hmac.digest(master, b"estafette/dkim-keys", "sha256") for master in (current, *previous)]
        self._ciphers = {_key_id(key): AESGCM(key) for key in reversed(derived)}
        self._current = _key_id(derived[0])

    def seal(self, pem: str, domain: str, selector: str, nonce: bytes) -> bytes:
        """`nonce`: NONCE_BYTES random ones, never the same twice."""
        ciphertext = self._ciphers[self._current].encrypt(nonce, pem.encode("ascii"), _bound_to(domain, selector))
        return _SEALED + self._current + nonce + ciphertext

    def open(self, sealed: bytes, domain: str, selector: str) -> str:
        """The PEM text. CannotOpen."""
        cipher = self._ciphers.get(sealed[1:5]) if sealed[:1] == _SEALED else None
        if cipher is None:
            raise CannotOpen(f"the DKIM key {selector} of {domain} is encrypted under another master secret")
        try:
            pem = cipher.decrypt(sealed[5 : 5 + NONCE_BYTES], sealed[5 + NONCE_BYTES :], _bound_to(domain, selector))
        except (InvalidTag, ValueError):
            raise CannotOpen(f"the DKIM key {selector} of {domain} is damaged: it does not decrypt") from None
        return pem.decode("ascii")

    def is_current(self, sealed: bytes) -> bool:
        """Whether it is sealed under the current secret."""
        return sealed.startswith(_SEALED + self._current)


_SEALED = b"\x01"


def _key_id(key: bytes) -> bytes:
    return hmac.digest(key, b"id", "sha256")[:4]


def _bound_to(domain: str, selector: str) -> bytes:
    return f"{selector}._domainkey.{domain}".encode("ascii")


def make(algorithm: Algorithm = "rsa-sha256") -> str:
    """A new private key. RSA takes a tenth of a second or more of one core: call it in a thread."""
    key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey = (
        rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
        if algorithm == "rsa-sha256"
        else ed25519.Ed25519PrivateKey.generate()
    )
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode("ascii")


def algorithm(pem: str) -> Algorithm:
    """What the key signs with."""
    return "rsa-sha256" if isinstance(_load(pem), rsa.RSAPrivateKey) else "ed25519-sha256"


def selector(pem: str) -> str:
    """A DNS label that names this key: `est` and eight hex digits of the public key's digest."""
    return f"est{sha256(_public(pem)).hexdigest()[:8]}"


def record(pem: str) -> str:
    """The TXT record for `<selector>._domainkey.<domain>` (RFC 6376 section 3.6.1, RFC 8463 section 4)."""
    kind = algorithm(pem).removesuffix("-sha256")
    return f"v=DKIM1; k={kind}; p={b64encode(_public(pem)).decode('ascii')}"


def signer(pem: str) -> Callable[[bytes], bytes]:
    """A function that signs a SHA-256 digest as the key's algorithm does (of Ed25519 it is the message that is signed:
    RFC 8463 section 3). Loading RSA takes as long as a signature, 0.2 ms or more: keep it."""
    key = _load(pem)
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign
    sign_digest = key.sign
    scheme, is_digest = padding.PKCS1v15(), utils.Prehashed(hashes.SHA256())
    return lambda digest: sign_digest(digest, scheme, is_digest)


class PublicKey:
    """What a record has in `p=`: DER for RSA (RFC 6376 section 3.6.1), 32 bytes for Ed25519. InvalidKey."""

    def __init__(self, algorithm: Algorithm, encoded: bytes) -> None:
        try:
            self._key: rsa.RSAPublicKey | ed25519.Ed25519PublicKey
            if algorithm == "ed25519-sha256":
                self._key = ed25519.Ed25519PublicKey.from_public_bytes(encoded)
            else:
                loaded = serialization.load_der_public_key(encoded)
                if not isinstance(loaded, rsa.RSAPublicKey):
                    raise InvalidKey("not an RSA key")
                self._key = loaded
        except (ValueError, UnsupportedAlgorithm) as error:
            raise InvalidKey("not a public key") from error
        self.bits = self._key.key_size if isinstance(self._key, rsa.RSAPublicKey) else 256

    def verifies(self, digest: bytes, signature: bytes) -> bool:
        """Whether the signature is of that SHA-256 digest; see `signer`."""
        try:
            if isinstance(self._key, rsa.RSAPublicKey):
                self._key.verify(signature, digest, padding.PKCS1v15(), utils.Prehashed(hashes.SHA256()))
            else:
                self._key.verify(signature, digest)
        except InvalidSignature:
            return False
        return True


def _public(pem: str) -> bytes:
    """As the record has it: DER for RSA, the 32 bytes for Ed25519."""
    key = _load(pem)
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.public_key().public_bytes_raw()
    return key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _load(pem: str) -> rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey:
    try:
        # Whether the numbers of an RSA key belong together is not tried: that takes 60 ms in which no thread of the
        # process runs. All keys were made here, and are kept sealed, with a tag that shows each change.
        key = serialization.load_pem_private_key(
            pem.encode("ascii"), password=None, unsafe_skip_rsa_key_validation=True
        )
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise InvalidKey("not a private key in PEM") from error
    if not isinstance(key, rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey):
        raise InvalidKey("neither an RSA nor an Ed25519 key")
    return key
