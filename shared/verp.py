"""The return path and the unsubscribe mail address: signed names of one message (variable envelope return path).

    b-<payload>@<bounce domain>     where reports about the message come back (RFC 5321 reverse-path)
    u-<payload>@<bounce domain>     where a mail unsubscribes the recipient (RFC 2369 List-Unsubscribe, mailto)

The payload is base32hex in lower case, because hosts change the case of local parts: job (12 bytes), ordinal (4 bytes,
big endian), and the first 8 bytes of an HMAC-SHA256 over kind, job and ordinal. 41 characters, of the 64 that
RFC 5321 section 4.5.3.1.1 allows. The kind is signed, so that a return path, which every receiving host sees, cannot be
turned into an unsubscription. The domain is not: it may move.
"""

import hmac
from base64 import b32hexdecode, b32hexencode
from collections.abc import Sequence
from typing import Literal

import msgspec

from shared import ids

Kind = Literal["bounce", "unsubscribe"]

_PREFIXES: dict[Kind, str] = {"bounce": "b-", "unsubscribe": "u-"}
_KINDS: dict[str, Kind] = {prefix: kind for kind, prefix in _PREFIXES.items()}
_ORDINAL_BYTES = 4
_NAME_BYTES = ids.JOB_BYTES + _ORDINAL_BYTES
#: 64 bits: a guess is tried over SMTP, where 2^64 tries are out of reach; short enough for the local part.
_SIGNATURE_BYTES = 8
_PAYLOAD_CHARS = 39


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

    def return_path(self, job: str, ordinal: int, domain: str) -> str:
        """The envelope sender of a message. ValueError if job or ordinal are none."""
        return self._address("bounce", job, ordinal, domain)

    def unsubscribe_address(self, job: str, ordinal: int, domain: str) -> str:
        """The address in the mailto: of List-Unsubscribe. ValueError if job or ordinal are none."""
        return self._address("unsubscribe", job, ordinal, domain)

    def read(self, address: str) -> Verp:
        """What `address` names, whatever case it comes in and whatever its domain is. InvalidVerp if it is not ours."""
        local_part = address.rpartition("@")[0] or address
        kind = _KINDS.get(local_part[:2].lower())
        if kind is None:
            raise InvalidVerp(f"not a return path: {address!r:.100}")
        name, signature = _split(local_part[2:], address)
        if not any(hmac.compare_digest(_sign(key, kind, name), signature) for key in self._keys):
            raise InvalidVerp(f"the signature is not ours: {address!r:.100}")
        job = ids.job_text(name[: ids.JOB_BYTES])
        return Verp(kind, job, int.from_bytes(name[ids.JOB_BYTES :], "big"))

    def _address(self, kind: Kind, job: str, ordinal: int, domain: str) -> str:
        if not 0 <= ordinal <= ids.MAX_ORDINAL:
            raise ValueError(f"not an ordinal: {ordinal}")
        name = ids.job_bytes(job) + ordinal.to_bytes(_ORDINAL_BYTES, "big")
        return f"{_PREFIXES[kind]}{_text(name + _sign(self._keys[0], kind, name))}@{domain}"


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
