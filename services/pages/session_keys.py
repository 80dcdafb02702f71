"""What a session's secret opens: its name in Redis, the key that is kept there, and the token of its forms. Pure.

The secret is chance that the cookie alone holds. Each of the three is derived from it and the master secret together,
so that neither what is in Redis nor a cookie tells a key by itself, and a form's token tells no secret. A sealed
key is: the nonce (12 bytes) · ciphertext and tag (16) (AES-256-GCM, NIST SP 800-38D), under a key that seals nothing
else.
"""

import hmac
import re
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

#: What keys of the master secret are derived for.
PURPOSE = b"estafette/page-sessions"
#: Of chance in a secret, which the cookie has in hex.
SECRET_BYTES = 32
NONCE_BYTES = 12
_SECRET = re.compile(r"[0-9a-f]{64}")


class SessionKeys:
    """`keys` are derived for `PURPOSE`, the current one first: what was made under the others still holds."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = keys

    def names(self, secret: str) -> list[str]:
        """By what the session is known in Redis, under every key. None of what is no secret of ours."""
        return [self._derived(key, b"name", secret).hex() for key in self._keys] if is_secret(secret) else []

    def seal(self, key_text: str, secret: str, nonce: bytes) -> bytes:
        """`nonce`: NONCE_BYTES random ones."""
        cipher = AESGCM(self._derived(self._keys[0], b"seal", secret))
        return nonce + cipher.encrypt(nonce, key_text.encode("ascii"), None)

    def open(self, sealed: bytes, secret: str) -> str | None:
        """The text of the key; None if this secret does not open it."""
        for key in self._keys:
            try:
                opened = AESGCM(self._derived(key, b"seal", secret)).decrypt(
                    sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], None
                )
            except (InvalidTag, ValueError):
                continue
            return opened.decode("ascii")
        return None

    def form_token(self, secret: str) -> str:
        """What the forms carry that this session is shown."""
        return self._derived(self._keys[0], b"form", secret).hex()

    def is_form_token(self, token: str, secret: str) -> bool:
        expected = (self._derived(key, b"form", secret).hex() for key in self._keys)
        return is_secret(secret) and any(hmac.compare_digest(one.encode(), token.encode()) for one in expected)

    @staticmethod
    def _derived(key: bytes, what: bytes, secret: str) -> bytes:
        return hmac.digest(key, what + b"\n" + secret.encode(), "sha256")


def is_secret(text: str) -> bool:
    return _SECRET.fullmatch(text) is not None
