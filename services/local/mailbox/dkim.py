"""Whether the DKIM signatures of a message hold (RFC 6376 section 6; RFC 8463 for Ed25519): the badge that a receiver
would give. Pure: the key's record is handed in.

    for signature in signatures(raw):
        verdict(signature, await record_of(signature.selector, signature.domain), now_s)

What a signature says of itself proves nothing: `valid` alone does. All else is a reason why it counts for nothing.
"""

import binascii
import re
from base64 import b64decode
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Literal

import msgspec

from shared.mail import dkim_keys

Verdict = Literal[
    "valid", "broken", "body", "part", "no_key", "revoked", "bad_key", "weak", "expired", "malformed", "unavailable"
]

#: What the page says of each.
WORDS: Mapping[Verdict, str] = {
    "valid": "valid",
    "broken": "forged, or a signed field was changed",
    "body": "the body was changed",
    "part": "a part of the body is not signed",
    "no_key": "there is no such key",
    "revoked": "its key was revoked",
    "bad_key": "its key's record cannot be read",
    "weak": "too weak to count",
    "expired": "expired",
    "malformed": "malformed",
    "unavailable": "DNS does not answer",
}
#: A message may have any number; beyond, nobody looks.
MOST_SIGNATURES = 10
#: RFC 8301 section 3.2: what is shorter must not be taken as valid.
LEAST_RSA_BITS = 1024

_FIELD = re.compile(rb"([!-9;-~]+)[ \t]*:")
_BLANKS = re.compile(rb"[ \t]+")
_B_TAG = re.compile(rb"(^|;)([ \t\r\n]*b[ \t\r\n]*=)[^;]*")
_TAG_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_ALGORITHMS: Mapping[str, dkim_keys.Algorithm] = {"rsa-sha256": "rsa-sha256", "ed25519-sha256": "ed25519-sha256"}


class Signature(msgspec.Struct, frozen=True):
    """A DKIM-Signature and what it has been put on. `domain` and `selector` are "" if it names none; `faulty` is the
    verdict if the message itself gives one."""

    domain: str
    selector: str
    algorithm: str = ""
    expires_s: int | None = None
    identity: str = ""
    digest: bytes = b""
    signed: bytes = b""
    faulty: Verdict | None = None


def signatures(raw: bytes) -> list[Signature]:
    """Those of the message, in its order."""
    fields, body = _taken_apart(raw)
    places = [at for at, (name, _) in enumerate(fields) if name == b"dkim-signature"]
    return [_signature(fields, at, body) for at in places[:MOST_SIGNATURES]]


def verdict(signature: Signature, records: Sequence[str] | None, now_s: int) -> Verdict:
    """`records` are the texts at `<selector>._domainkey.<domain>`; None: nobody could be asked."""
    if signature.faulty is not None:
        return signature.faulty
    if signature.expires_s is not None and signature.expires_s <= now_s:
        return "expired"
    if records is None:
        return "unavailable"
    found = [_tags(record) for record in records]
    known = [tags for tags in found if tags is not None and tags.get("v", "DKIM1") == "DKIM1" and "p" in tags]
    if not known:
        return "bad_key" if records else "no_key"
    verdicts = [_by_key(signature, tags) for tags in known]
    return "valid" if "valid" in verdicts else verdicts[0]


def _by_key(signature: Signature, record: Mapping[str, str]) -> Verdict:
    if not record["p"]:
        return "revoked"
    kind, _, hashed = signature.algorithm.partition("-")
    services, flags = record.get("s", "*").split(":"), record.get("t", "").split(":")
    if record.get("k", "rsa") != kind or hashed not in record.get("h", hashed).split(":"):
        return "bad_key"
    if "*" not in services and "email" not in services:
        return "bad_key"
    if "s" in flags and signature.identity.rpartition("@")[2].lower() != signature.domain:
        return "broken"
    try:
        key = dkim_keys.PublicKey(_ALGORITHMS[signature.algorithm], b64decode(record["p"], validate=True))
    except (dkim_keys.InvalidKey, binascii.Error, ValueError):
        return "bad_key"
    if key.bits < LEAST_RSA_BITS and kind == "rsa":
        return "weak"
    return "valid" if key.verifies(signature.digest, signature.signed) else "broken"


def _signature(fields: Sequence[tuple[bytes, bytes]], at: int, body: bytes) -> Signature:
    tags = _tags(fields[at][1].partition(b":")[2].decode("utf-8", "replace"))
    if tags is None:
        return Signature("", "", faulty="malformed")
    domain, selector = tags.get("d", "").lower(), tags.get("s", "")
    named = [name.strip().lower() for name in tags.get("h", "").split(":")]
    identity = tags.get("i", f"@{domain}")
    below = identity.rpartition("@")[2].lower()
    header_form, _, body_form = tags.get("c", "simple/simple").partition("/")
    body_form = body_form or "simple"
    numbers = [tags[name] for name in ("t", "x", "l") if name in tags]
    is_whole = (
        tags.get("v") == "1"
        and all(tags.get(name) for name in ("a", "b", "bh", "d", "h", "s"))
        and {header_form, body_form} <= {"simple", "relaxed"}
        and "from" in named
        and (below == domain or below.endswith(f".{domain}"))
        and all(number.isascii() and number.isdigit() and len(number) <= 76 for number in numbers)
    )
    try:
        body_hash, signed = (b64decode("".join(tags.get(name, "").split()), validate=True) for name in ("bh", "b"))
    except (binascii.Error, ValueError):
        is_whole, body_hash, signed = False, b"", b""
    if not is_whole or int(tags.get("x", tags.get("t", "0"))) < int(tags.get("t", "0")):
        return Signature(domain, selector, faulty="malformed")
    if tags["a"] not in _ALGORITHMS:
        return Signature(domain, selector, faulty="weak")
    canonical = _relaxed_body(body) if body_form == "relaxed" else _simple_body(body)
    length = int(tags["l"]) if "l" in tags else len(canonical)
    faulty: Verdict | None = None
    if sha256(canonical[:length]).digest() != body_hash or length > len(canonical):
        faulty = "body"
    elif length < len(canonical):
        faulty = "part"
    return Signature(
        domain,
        selector,
        tags["a"],
        int(tags["x"]) if "x" in tags else None,
        identity,
        sha256(_signed_fields(fields, at, named, header_form)).digest(),
        signed,
        faulty,
    )


def _signed_fields(fields: Sequence[tuple[bytes, bytes]], at: int, named: Sequence[str], form: str) -> bytes:
    """RFC 6376 section 3.7: of fields with one name the last counts first; what is not there is nothing."""
    left: dict[bytes, list[bytes]] = {}
    for place, (name, whole) in enumerate(fields):
        if place != at:
            left.setdefault(name, []).append(whole)
    chosen = [left[key].pop() for name in named if left.get(key := name.encode("utf-8", "replace"))]
    name, _, value = fields[at][1].partition(b":")
    own = name + b":" + _B_TAG.sub(rb"\1\2", value, count=1)
    if form == "simple":
        return b"".join(chosen) + own.removesuffix(b"\r\n")
    return b"".join([_relaxed_field(one) + b"\r\n" for one in chosen]) + _relaxed_field(own)


def _taken_apart(raw: bytes) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Fields, each with its name in lower case and as it stands with its CRLF, and the body; lines end with CRLF."""
    whole = re.sub(rb"\r?\n", b"\r\n", raw)
    header, _, body = whole.partition(b"\r\n\r\n")
    if whole.startswith(b"\r\n"):
        header, body = b"", whole[2:]
    fields: list[tuple[bytes, bytes]] = []
    for line in header.split(b"\r\n"):
        if line[:1] in (b" ", b"\t") and fields:
            fields[-1] = fields[-1][0], fields[-1][1] + line + b"\r\n"
        elif named := _FIELD.match(line):
            fields.append((named[1].lower(), line + b"\r\n"))
    return fields, body


def _relaxed_field(whole: bytes) -> bytes:
    name, _, value = whole.partition(b":")
    return name.strip().lower() + b":" + _BLANKS.sub(b" ", value.replace(b"\r\n", b"")).strip(b" ")


def _simple_body(body: bytes) -> bytes:
    """Section 3.4.3: its line ends at the end are one, also where there is none."""
    end = len(body)
    while body.endswith(b"\r\n", 0, end):
        end -= 2
    return body[:end] + b"\r\n"


def _relaxed_body(body: bytes) -> bytes:
    lines = [_BLANKS.sub(b" ", line).removesuffix(b" ") for line in body.split(b"\r\n")]
    while lines and not lines[-1]:
        lines.pop()
    return b"".join([line + b"\r\n" for line in lines])


def _tags(text: str) -> dict[str, str] | None:
    """RFC 6376 section 3.2; None if it is not a list of tags, or names one twice."""
    tags: dict[str, str] = {}
    for part in text.strip().removesuffix(";").split(";"):
        name, equals, value = part.partition("=")
        name = name.strip()
        if not equals or name in tags or not _TAG_NAME.fullmatch(name):
            return None
        # No blank in a value of ours means anything: names, numbers, and base64, which is folded.
        tags[name] = "".join(value.split())
    return tags
