"""The return path and the addresses beside it: signed names of one message (variable envelope return path).

    b-<payload>@<bounce domain>     where reports about the message come back (RFC 5321 reverse-path)
    u-<payload>@<bounce domain>     where a mail unsubscribes the recipient (RFC 2369 List-Unsubscribe, mailto)
    f-<payload>@<bounce domain>     where a provider tells of its user's complaint (RFC 9477 CFBL-Address); without the
                                    domain it is the CFBL-Feedback-ID
    <job>.<ordinal>.<signature>     the left side of the Message-ID (RFC 5322 section 3.6.4), which is what some
                                    feedback loops leave of a mail; the signature as above, in 13 characters

The payload is base32hex in lower case, because hosts change the case of local parts: job (12 bytes), ordinal (4 bytes,
big endian), and the first 8 bytes of an HMAC-SHA256 over kind, job and ordinal. 41 characters, of the 64 that
RFC 5321 section 4.5.3.1.1 allows. The kind is signed, so that a return path, which every receiving host sees, cannot be
turned into an unsubscription. The domain is not: it may move.
"""

import hmac
from base64 import b32hexdecode, b32hexencode
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

import msgspec

from shared.words import ids
from shared.words.mac import Mac

Kind = Literal["bounce", "unsubscribe", "feedback", "message"]

#: The subject that the mailto: asks for: by it a mail that a provider's button writes is told from automatic answers.
UNSUBSCRIBE_SUBJECT = "unsubscribe"

_PREFIXES: dict[Kind, str] = {"bounce": "b-", "unsubscribe": "u-", "feedback": "f-", "message": "m-"}
#: Of addresses; a Message-ID has a form of its own.
_KINDS: dict[str, Kind] = {prefix: kind for kind, prefix in _PREFIXES.items() if kind != "message"}
_ORDINAL_BYTES = 4
_NAME_BYTES = ids.JOB_BYTES + _ORDINAL_BYTES
#: 64 bits: a guess is tried over SMTP, where 2^64 tries are out of reach; short enough for the local part.
_SIGNATURE_BYTES = 8
_PAYLOAD_CHARS = 39
#: Of a job's twelve bytes: the first that are whole groups of base32 make the first characters of all its payloads.
_JOB_GROUPS_BYTES = 10
#: Two characters for ten bits.
_PAIRS = [a + b for a in "0123456789abcdefghijklmnopqrstuv" for b in "0123456789abcdefghijklmnopqrstuv"]
#: Jobs whose bytes are remembered: those that mails are made for at the same time.
_JOBS_REMEMBERED = 1024


class InvalidVerp(ValueError):
    """Not an address of ours: another form, or a signature that none of our keys made."""


class Verp(msgspec.Struct, frozen=True):
    """What an address names: one message, and what mail to it means."""

    kind: Kind
    job: str
    ordinal: int


class VerpKeys:
    """Makes and reads addresses. New ones are signed under `current`; those under `previous` secrets are still read."""

    def __init__(self, current: bytes, previous: Sequence[bytes] = ()) -> None:
        self._keys = [hmac.digest(master, b"estafette/verp", "sha256") for master in (current, *previous)]
        self._current = Mac(self._keys[0])

    def return_path(self, job: str, ordinal: int, domain: str) -> str:
        """The envelope sender of a message. ValueError if job or ordinal are invalid."""
        return self._address("bounce", job, ordinal, domain)

    def unsubscribe_address(self, job: str, ordinal: int, domain: str) -> str:
        """The address in the mailto: of List-Unsubscribe. ValueError if job or ordinal are invalid."""
        return self._address("unsubscribe", job, ordinal, domain)

    def feedback_address(self, job: str, ordinal: int, domain: str) -> str:
        """The address of CFBL-Address. ValueError if job or ordinal are invalid."""
        return self._address("feedback", job, ordinal, domain)

    def message_id(self, job: str, ordinal: int) -> str:
        """The left side of a message's Message-ID. ValueError if job or ordinal are invalid."""
        signature = self._current.digest(b"m-" + _name(job, ordinal))[:_SIGNATURE_BYTES]
        return f"{ids.message_id(job, ordinal)}.{_signature_chars(signature)}"

    def read(self, address: str) -> Verp:
        """What `address` names, whatever its case and domain are, if it has one. InvalidVerp if it is not ours."""
        local_part = address.rpartition("@")[0] or address
        kind = _KINDS.get(local_part[:2].lower())
        if kind is None:
            raise InvalidVerp(f"not a return path: {address!r:.100}")
        name, signature = _split(local_part[2:], address)
        if not any(hmac.compare_digest(_sign(key, kind, name), signature) for key in self._keys):
            raise InvalidVerp(f"the signature is not ours: {address!r:.100}")
        job = ids.job_text(name[: ids.JOB_BYTES])
        return Verp(kind, job, int.from_bytes(name[ids.JOB_BYTES :], "big"))

    def read_message_id(self, text: str) -> Verp:
        """What the left side of a Message-ID names, whatever its case is. InvalidVerp if it is not ours."""
        name, _, signature = text.lower().rpartition(".")
        try:
            job, ordinal = ids.split_message_id(name)
        except ValueError as error:
            raise InvalidVerp(f"not a Message-ID of ours: {text!r:.100}") from error
        given, signed = signature.encode("utf-8", "replace"), _name(job, ordinal)
        if not any(hmac.compare_digest(_text(_sign(key, "message", signed)).encode(), given) for key in self._keys):
            raise InvalidVerp(f"the signature is not ours: {text!r:.100}")
        return Verp("message", job, ordinal)

    def _address(self, kind: Kind, job: str, ordinal: int, domain: str) -> str:
        if not 0 <= ordinal <= ids.MAX_ORDINAL:
            raise ValueError(f"not an ordinal: {ordinal}")
        head, first_chars = _job(job)
        name = head + ordinal.to_bytes(_ORDINAL_BYTES, "big")
        prefix = _PREFIXES[kind]
        signature = self._current.digest(prefix.encode("ascii") + name)[:_SIGNATURE_BYTES]
        return f"{prefix}{first_chars}{_last_chars(name[_JOB_GROUPS_BYTES:] + signature)}@{domain}"


def _name(job: str, ordinal: int) -> bytes:
    if not 0 <= ordinal <= ids.MAX_ORDINAL:
        raise ValueError(f"not an ordinal: {ordinal}")
    return _job(job)[0] + ordinal.to_bytes(_ORDINAL_BYTES, "big")


@lru_cache(_JOBS_REMEMBERED)
def _job(job: str) -> tuple[bytes, str]:
    """A job's bytes, and the characters that all its payloads begin with."""
    raw = ids.job_bytes(job)
    return raw, _text(raw[:_JOB_GROUPS_BYTES])


def _last_chars(raw: bytes) -> str:
    """Fourteen bytes as 23 characters: `_text`, by a table of pairs, in a sixth of the time."""
    bits, pairs = int.from_bytes(raw, "big") << 8, _PAIRS
    return (
        f"{pairs[bits >> 110]}{pairs[bits >> 100 & 1023]}{pairs[bits >> 90 & 1023]}{pairs[bits >> 80 & 1023]}"
        f"{pairs[bits >> 70 & 1023]}{pairs[bits >> 60 & 1023]}{pairs[bits >> 50 & 1023]}{pairs[bits >> 40 & 1023]}"
        f"{pairs[bits >> 30 & 1023]}{pairs[bits >> 20 & 1023]}{pairs[bits >> 10 & 1023]}{pairs[bits & 1023][0]}"
    )


def _signature_chars(raw: bytes) -> str:
    """Eight bytes as 13 characters, likewise."""
    bits, pairs = int.from_bytes(raw, "big") << 6, _PAIRS
    return (
        f"{pairs[bits >> 60]}{pairs[bits >> 50 & 1023]}{pairs[bits >> 40 & 1023]}{pairs[bits >> 30 & 1023]}"
        f"{pairs[bits >> 20 & 1023]}{pairs[bits >> 10 & 1023]}{pairs[bits & 1023][0]}"
    )


def _sign(key: bytes, kind: Kind, name: bytes) -> bytes:
    return hmac.digest(key, _PREFIXES[kind].encode("ascii") + name, "sha256")[:_SIGNATURE_BYTES]


def _text(raw: bytes) -> str:
    return b32hexencode(raw).decode("ascii").rstrip("=").lower()


def _split(payload: str, address: str) -> tuple[bytes, bytes]:
    """Name and signature. Only the one spelling that we write is read: slack bits and padding are refused."""
    try:
        raw = b32hexdecode(payload.upper() + "=") if len(payload) == _PAYLOAD_CHARS else b""
    except ValueError as error:
        raise InvalidVerp(f"not a return path: {address!r:.100}") from error
    if len(raw) != _NAME_BYTES + _SIGNATURE_BYTES or _text(raw) != payload.lower():
        raise InvalidVerp(f"not a return path: {address!r:.100}")
    return raw[:_NAME_BYTES], raw[_NAME_BYTES:]
