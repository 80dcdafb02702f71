"""The token of a link to one job's report, for somebody without a key: who has it sees that report until it is over.
Pure.

    token = base64url(id of the link (8 bytes) · when it is over, in s since the epoch (5) · MAC (16) · id of the job)

The MAC (HMAC-SHA256, cut to 128 bits) is over all the rest. A token that nobody signed, or that is over, costs no
look-up.
"""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error
from collections.abc import Sequence
from typing import NamedTuple

from shared.words import ids

#: What keys of the master secret are derived for.
PURPOSE = b"estafette/report-links"
ID_BYTES, _OVER_BYTES, _MAC_BYTES = 8, 5, 16
_HEAD_BYTES = ID_BYTES + _OVER_BYTES
_MAX_CHARS = 128


class LinkedReport(NamedTuple):
    """What a token says: which link, of which job, over when."""

    id: bytes
    job: str
    over_s: int


class LinkTokens:
    """`keys` are derived for `PURPOSE`, the current one first: what the others signed is still read."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = keys

    def sign(self, link: LinkedReport) -> str:
        head, job = link.id + link.over_s.to_bytes(_OVER_BYTES, "big"), link.job.encode("ascii")
        return urlsafe_b64encode(head + _mac(self._keys[0], head + job) + job).decode("ascii").rstrip("=")

    def read(self, token: str, now_ms: int) -> LinkedReport | None:
        """What it says; None if nobody of us signed it, or it is over."""
        if len(token) > _MAX_CHARS:
            return None
        try:
            signed = urlsafe_b64decode(token + "=" * (-len(token) % 4))
            job = signed[_HEAD_BYTES + _MAC_BYTES :].decode("ascii")
        except (Error, ValueError):
            return None
        head, mac = signed[:_HEAD_BYTES], signed[_HEAD_BYTES : _HEAD_BYTES + _MAC_BYTES]
        if not any(hmac.compare_digest(_mac(key, head + job.encode("ascii")), mac) for key in self._keys):
            return None
        link = LinkedReport(head[:ID_BYTES], job, int.from_bytes(head[ID_BYTES:], "big"))
        return link if link.over_s * 1000 > now_ms and ids.is_job_id(job) else None


def _mac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")[:_MAC_BYTES]
