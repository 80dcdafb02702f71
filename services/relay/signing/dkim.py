"""Signs mails with DKIM (RFC 6376; RFC 8463 for Ed25519): relaxed header fields, relaxed body, several keys at once.

The relay's mails are made so that relaxing changes next to nothing: of a header field the case of its name and its
folds, of the body nothing (`shared.mail.quoted_printable`), so it is hashed as it is. Relaxing it by regular
expressions would cost more than the signature; the tests do it, to see that nothing changes.

All signatures of a mail cover the same fields and the same body, so both are hashed once, however many there are.

    draft(signers, fields, body, now) → digests → (`signatures`: signed beside this process) → fields(signatures)
"""

import re
from base64 import b64encode
from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING

from shared.mail import dkim_keys

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
        *GUARDED, b"in-reply-to", b"references", b"content-id", b"content-description", b"auto-submitted",
        b"tls-report-domain", b"tls-report-submitter",
        b"list-help", b"list-subscribe", b"list-post", b"list-owner", b"list-archive",
    )
)  # fmt: skip
#: Characters of a signature or of names in one line.
_LINE_CHARS = 72

_BLANKS = re.compile(rb"[ \t\r\n]+")
_BLANKS_OF_LINE = re.compile(rb"[ \t]+")
_BLANKS_AT_END = re.compile(rb" \r\n")


class Signer:
    """Signs for one `domain` with one key, RSA or Ed25519. `sign_digest` releases the GIL. `pem` is the private key:
    never logged, never part of an error. dkim_keys.InvalidKey if it is invalid."""

    def __init__(self, domain: str, selector: str, private_key_pem: bytes | str) -> None:
        pem = private_key_pem if isinstance(private_key_pem, str) else private_key_pem.decode("ascii", "replace")
        self.domain = domain
        self.pem = pem
        self.sign_digest = dkim_keys.signer(pem)
        self.tags = f"v=1; a={dkim_keys.algorithm(pem)}; c=relaxed/relaxed; d={domain}; s={selector};".encode("ascii")


class Draft:
    """The DKIM-Signature fields of a mail without their signatures. `digests` are what `signers` sign, each its own."""

    __slots__ = ("_shared_tags", "digests", "signers")

    def __init__(self, signers: Sequence[Signer], signed_fields: "_Hash", shared_tags: bytes) -> None:
        """`signed_fields` is the hash of the signed fields, which ends with that of each signature's own;
        `shared_tags` are those that all signatures of the mail have."""
        self.signers = signers
        self._shared_tags = shared_tags
        relaxed_tags = shared_tags.replace(b"\r\n", b"")
        self.digests: list[bytes] = []
        for signer in signers:
            begun = signed_fields.copy()
            begun.update(b"dkim-signature:%b %b" % (signer.tags, relaxed_tags))
            self.digests.append(begun.digest())

    def signed(self) -> bytes:
        """The fields, signed here and now."""
        return self.fields([one.sign_digest(digest) for one, digest in zip(self.signers, self.digests, strict=True)])

    def fields(self, signatures: Sequence[bytes]) -> bytes:
        """The fields, in the order of the signers, each with its CRLF."""
        fields = []
        for signer, signature in zip(self.signers, signatures, strict=True):
            text = b64encode(signature)
            broken = b"\r\n ".join([text[at : at + _LINE_CHARS] for at in range(0, len(text), _LINE_CHARS)])
            fields.append(b"DKIM-Signature: %b\r\n %b%b\r\n" % (signer.tags, self._shared_tags, broken))
        return b"".join(fields)


def draft(signers: Sequence[Signer], fields: Sequence[tuple[bytes, bytes]], body: bytes, now_s: int) -> Draft:
    """What there is to sign of a mail. The body is in relaxed form; of the fields that are signed, each occurs once."""
    signed = [(lower, value) for name, value in fields if (lower := name.lower()) in SIGNED]
    body_hash = b64encode(sha256(body).digest())
    names = _names(tuple([name for name, _ in signed]))
    tags = b"t=%d;\r\n h=%b;\r\n bh=%b;\r\n b=" % (now_s, names, body_hash)
    return Draft(signers, sha256(_relaxed(signed)), tags)


def sign(signers: Sequence[Signer], fields: Sequence[tuple[bytes, bytes]], body: bytes, now_s: int) -> bytes:
    """The DKIM-Signature fields of a mail, signed here and now."""
    return draft(signers, fields, body, now_s).signed() if signers else b""


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


def relaxed_body(body: bytes) -> bytes:
    """A body that came as it is in relaxed form (RFC 6376 section 3.4.4); its lines end in CRLF."""
    body = _BLANKS_AT_END.sub(b"\r\n", _BLANKS_OF_LINE.sub(b" ", body)) if b" " in body or b"\t" in body else body
    text = body.rstrip(b"\r\n \t")
    # Of a line that is not ended blanks go, too.
    return text + b"\r\n" if text else b""


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
