"""Files of one recipient, by reference: what the row of a recipient and a message in a ready queue say of them.

The bytes are kept once for each job, under their digest (`shared.redis.keys.job_files`), and are copied nowhere: from
the request they go there, and from there into a mail. The reference is a text of JSON, "" for none, so that whoever
passes it on need not read it.
"""

from base64 import urlsafe_b64encode
from collections.abc import Iterable, Sequence
from hashlib import blake2b

import msgspec

#: Of a digest, as text: 120 bits tell the files of one job apart.
DIGEST_CHARS = 20
#: What base64 makes of so many bytes, with its line ends.
_GROWS_BY = 78 / 57


class OwnFile(msgspec.Struct, frozen=True, array_like=True):
    """A file of a recipient: under which digest its bytes are kept, and how it is called in their mail."""

    digest: str
    filename: str
    content_type: str
    size_bytes: int


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(list[OwnFile])


def digest_of(content: bytes) -> str:
    return urlsafe_b64encode(blake2b(content, digest_size=15).digest()).decode("ascii")


def packed(files: Sequence[OwnFile]) -> str:
    return _encoder.encode(files).decode() if files else ""


def unpacked(packed: str) -> list[OwnFile]:
    """ValueError (msgspec's own is one) if it does not fit."""
    return _decoder.decode(packed) if packed else []


def digests(packed: str) -> set[str]:
    """Each once, however often the recipient has it."""
    return {one.digest for one in unpacked(packed)}


def mail_bytes(files: Iterable[OwnFile]) -> int:
    """About how much larger they make a mail."""
    return int(sum(one.size_bytes for one in files) * _GROWS_BY)
