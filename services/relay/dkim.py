"""Signs mails with DKIM (RFC 6376; RFC 8463 for Ed25519): relaxed header fields, relaxed body.

The relay's mails are made so that relaxing changes next to nothing: of a header field the case of its name and its
folds, of the body nothing (`shared.quoted_printable`), so it is hashed as it is. Relaxing it by regular expressions
would cost more than the signature; the tests do it, to see that nothing changes.
"""

import re
from base64 import b64encode
from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256

from shared import dkim_keys

#: Signed where present: what a reader sees, and what software acts upon (RFC 6376 section 5.4.1, RFC 8058 section 4).
SIGNED = frozenset(
    (
        b"from", b"to", b"subject", b"date", b"message-id", b"reply-to", b"mime-version", b"content-type",
        b"list-unsubscribe", b"list-unsubscribe-post",
    )
)  # fmt: skip
#: Characters of a signature or of names in one line.
_LINE_CHARS = 72

_BLANKS = re.compile(rb"[ \t\r\n]+")


class Signer:
    """Signs for one domain with one key, RSA or Ed25519. Loading an RSA key takes 26 ms; signing releases the GIL.
    dkim_keys.InvalidKey if the key is none."""

    def __init__(self, domain: str, selector: str, private_key_pem: bytes | str) -> None:
        pem = private_key_pem if isinstance(private_key_pem, str) else private_key_pem.decode("ascii", "replace")
        self._sign = dkim_keys.signer(pem)
        algorithm = dkim_keys.algorithm(pem)
        self._begin = f"v=1; a={algorithm}; c=relaxed/relaxed; d={domain}; s={selector};\r\n t=".encode("ascii")

    def sign(self, fields: Sequence[tuple[bytes, bytes]], body: bytes, now_s: int) -> bytes:
        """The DKIM-Signature field, its CRLF included. The body is in relaxed form; of the fields that are signed, each
        occurs once."""
        signed = [(lower, value) for name, value in fields if (lower := name.lower()) in SIGNED]
        lines = [b"%b:%b\r\n" % (name, relaxed_value(value)) for name, value in signed]
        body_hash = b64encode(sha256(body).digest())
        names = _names(tuple([name for name, _ in signed]))
        unsigned = b"%b%d;\r\n h=%b;\r\n bh=%b;\r\n b=" % (self._begin, now_s, names, body_hash)
        lines.append(b"dkim-signature:" + relaxed_value(unsigned))
        signature = b64encode(self._sign(b"".join(lines)))
        broken = [signature[at : at + _LINE_CHARS] for at in range(0, len(signature), _LINE_CHARS)]
        return b"DKIM-Signature: " + unsigned + b"\r\n ".join(broken) + b"\r\n"


def relaxed_value(value: bytes) -> bytes:
    """The value of a field in relaxed form (RFC 6376 section 3.4.2)."""
    unfolded = value.replace(b"\r\n ", b" ")
    if b"  " in unfolded or b"\t" in unfolded or b"\n" in unfolded:
        unfolded = _BLANKS.sub(b" ", unfolded)
    return unfolded.strip(b" ")


@lru_cache(64)
def _names(signed: tuple[bytes, ...]) -> bytes:
    """The h= tag, folded between names. From is named once more than it occurs: adding another one then breaks the
    signature (RFC 6376 section 8.15)."""
    lines: list[bytes] = []
    current = b""
    for name in (*signed, b"from"):
        if current and len(current) + len(name) > _LINE_CHARS:
            lines.append(current)
            current = b""
        current += name + b":"
    return b"\r\n ".join([*lines, current])[:-1]
