"""Files of single recipients on their way into Redis, with who has which of them. Pure."""

from collections import Counter as Counted
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from prometheus_client import Counter

from shared.redis.recipients import Waiting
from shared.words import own_files

FILE_BYTES = Counter(
    "estafette_queueing_recipient_file_bytes_total",
    "Bytes of files of single recipients that came, in jobs and uploads",
)
#: A batch of an upload is stored when its files have so many bytes, or are so many: a script that takes more keeps
#: others waiting.
BATCH_BYTES, BATCH_FILES = 4_000_000, 500
#: And of a job that comes in one request no more are taken: it is stored in one script, 10 µs for each.
MOST_AT_ONCE = 2_000


@dataclass(frozen=True)
class Stored:
    """A file of a job as it is stored: how many recipients have it."""

    digest: str
    content: bytes
    uses: int


@dataclass
class Batch:
    """The files of a batch of an upload: their bytes, and of each recipient who has any, by their place in the batch,
    the digests."""

    contents: dict[str, bytes] = field(default_factory=dict)
    uses: list[tuple[int, str]] = field(default_factory=list)

    def add(self, place: int, files: str) -> None:
        self.uses += [(place, digest) for digest in sorted(own_files.digests(files))]

    @property
    def size_bytes(self) -> int:
        return sum(map(len, self.contents.values()))

    @property
    def packed_uses(self) -> bytes:
        """As the script reads them: for each the place as uint32, and the digest."""
        return b"".join(place.to_bytes(4, "big") + digest.encode("ascii") for place, digest in self.uses)


def used(waiting: Sequence[Waiting], contents: Mapping[str, bytes]) -> list[Stored]:
    """Those that somebody has."""
    if not contents:
        return []
    uses = Counted(digest for one in waiting for digest in own_files.digests(one.files))
    return [Stored(digest, contents[digest], count) for digest, count in uses.items()]
