"""Signs mails with DKIM (RFC 6376; RFC 8463 for Ed25519): relaxed header fields, relaxed body, several keys at once.

The relay's mails are made so that relaxing changes next to nothing: of a header field the case of its name and its
folds, of the body nothing (`shared.quoted_printable`), so it is hashed as it is. Relaxing it by regular expressions
would cost more than the signature; the tests do it, to see that nothing changes.

All signatures of a mail cover the same fields and the same body, so both are hashed once, however many there are.
"""

import re
from base64 import b64encode
from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING

from shared import dkim_keys

if TYPE_CHECKING:
    from hashlib import _Hash

#: Named once more than they occur, and named too where they are absent: adding one then breaks the signature (RFC 6376
#: sections 5.4.2 and 8.15). A second one of these would deceive a reader or software: another sender, another text
#: (Content-*), another list to leave (RFC 8058 section 4), somebody else's complaints (RFC 9477 section 3.1.4).
#: Sender is among them though mailing lists add it: what they distribute is signed by them.
GUARDED = (
    b"from", b"sender", b"reply-to", b"to", b"cc", b"subject", b"date", b"message-id",
    b"mime-version", b"content-type", b"content-transfer-encoding",
    b"list-unsubscribe", b"list-unsubscribe-post", b"list-id",
    b"feedback-id", b"cfbl-address", b"cfbl-feedback-id",
)  # fmt: skip
#: Signed where present: those, and what else RFC 6376 section 5.4.1 names; hosts on the way may well add such fields.
SIGNED = frozenset(
    (
        *GUARDED, b"in-reply-to", b"references", b"content-id", b"content-description",
        b"tls-report-domain", b"tls-report-submitter",
        b"list-help", b"list-subscribe", b"list-post", b"list-owner", b"list-archive",
    )
)  # fmt: skip
#: Characters of a signature or of names in one line.
_LINE_CHARS = 72

_BLANKS = re.compile(rb"[ \t\r\n]+")


class Signer:
    """Signs for one `domain` with one key, RSA or Ed25519. Loading an RSA key takes 26 ms; signing releases the GIL.
    dkim_keys.InvalidKey if the key is none."""

    def __init__(self, domain: str, selector: str, private_key_pem: bytes | str) -> None:
        pem = private_key_pem if isinstance(private_key_pem, str) else private_key_pem.decode("ascii", "replace")
        self.domain = domain
        self._sign_digest = dkim_keys.signer(pem)
        self._tags = f"v=1; a={dkim_keys.algorithm(pem)}; c=relaxed/relaxed; d={domain}; s={selector};".encode("ascii")

    def field(self, begun: "_Hash", tags: bytes, relaxed_tags: bytes) -> bytes:
        """The DKIM-Signature field, its CRLF included. `begun` is the hash of the signed fields, which ends here with
        that of this one; `tags` are those that all signatures of the mail share."""
        begun.update(b"dkim-signature:%b %b" % (self._tags, relaxed_tags))
        signature = b64encode(self._sign_digest(begun.digest()))
        broken = [signature[at : at + _LINE_CHARS] for at in range(0, len(signature), _LINE_CHARS)]
        return b"DKIM-Signature: %b\r\n %b%b\r\n" % (self._tags, tags, b"\r\n ".join(broken))


def sign(signers: Sequence[Signer], fields: Sequence[tuple[bytes, bytes]], body: bytes, now_s: int) -> bytes:
    """The DKIM-Signature fields, in the order of `signers`, each with its CRLF. The body is in relaxed form; of the
    fields that are signed, each occurs once."""
    if not signers:
        return b""
    signed = [(lower, value) for name, value in fields if (lower := name.lower()) in SIGNED]
    begun = sha256(_relaxed(signed))
    body_hash = b64encode(sha256(body).digest())
    names = _names(tuple([name for name, _ in signed]))
    tags = b"t=%d;\r\n h=%b;\r\n bh=%b;\r\n b=" % (now_s, names, body_hash)
    relaxed_tags = tags.replace(b"\r\n", b"")
    return b"".join([signer.field(begun.copy(), tags, relaxed_tags) for signer in signers])


def _relaxed(fields: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Fields, their names in lower case, in relaxed form. As the relay writes them it takes no more than unfolding, of
    all of them at once."""
    whole = b"".join([b"%b:%b\r\n" % field for field in fields]).replace(b"\r\n ", b" ")
    odd = b"  " in whole or b"\t" in whole or b" \r\n" in whole or whole.count(b"\n") != len(fields)
    if odd or any(value[:1] in (b" ", b"\r") for _, value in fields):
        return b"".join([b"%b:%b\r\n" % (name, relaxed_value(value)) for name, value in fields])
    return whole


def relaxed_value(value: bytes) -> bytes:
    """The value of a field in relaxed form (RFC 6376 section 3.4.2)."""
    unfolded = value.replace(b"\r\n ", b" ")
    if b"  " in unfolded or b"\t" in unfolded or b"\n" in unfolded:
        unfolded = _BLANKS.sub(b" ", unfolded)
    return unfolded.strip(b" ")


@lru_cache(64)
def _names(signed: tuple[bytes, ...]) -> bytes:
    """The h= tag, folded between names: what is there, then what shall not be there once more."""
    lines: list[bytes] = []
    current = b""
    for name in (*signed, *GUARDED):
        if current and len(current) + len(name) > _LINE_CHARS:
            lines.append(current)
            current = b""
        current += name + b":"
    return b"\r\n ".join([*lines, current])[:-1]
