"""What the lines of a file ask for, put aside until all have come, so that the last line of each address wins.

Ten million lines do not fit into memory, and which of two lines is the last is known at the end. So each goes, by its
address, into one of many parts, in which it is in order and all lines of its address are. Read back one by one, each
part fits, and its last lines win. Parts of addresses that Redis has in one place follow each other.

A part is written in pieces, all of them to one file without a name, which stays in memory while it is small, takes some
sixty bytes a line of the disk then, and is gone with the process.
"""

import tempfile
from array import array
from collections.abc import Callable, Iterator

import msgspec

from services.suppression.moving.wishes import Wish

#: So many, that a part of a list of ten million has some forty thousand lines.
PARTS = 256
#: Of a file before it goes to the disk, in bytes: a list of a hundred thousand stays.
IN_MEMORY_BYTES = 8_388_608
#: Wishes of a part that are written at once.
_AT_ONCE = 32

Lines = list[tuple[int, Wish]]

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[tuple[int, Wish]])


class Spool:
    """Of one file. `place_of` says in which of so many `places` an address is. `close` it."""

    def __init__(
        self,
        place_of: Callable[[str], int],
        places: int,
        parts: int = PARTS,
        in_memory_bytes: int = IN_MEMORY_BYTES,
    ) -> None:
        self._place_of = place_of
        self._parts_of_a_place = max(1, parts // places)
        parts = places * self._parts_of_a_place
        self._waiting: list[Lines] = [[] for _ in range(parts)]
        #: Where the pieces of each part begin and how long they are, in turns.
        self._pieces = [array("Q") for _ in range(parts)]
        self._file = tempfile.SpooledTemporaryFile(in_memory_bytes)  # noqa: SIM115  (it lives as long as this does)
        self._size_bytes = 0

    def add(self, line: int, wish: Wish) -> None:
        of_a_place = self._parts_of_a_place
        part = self._place_of(wish.address) * of_a_place + hash(wish.address) % of_a_place
        waiting = self._waiting[part]
        waiting.append((line, wish))
        if len(waiting) == _AT_ONCE:
            self._write(part)

    def _write(self, part: int) -> None:
        packed = _encoder.encode(self._waiting[part])
        self._file.write(packed)
        self._pieces[part].extend((self._size_bytes, len(packed)))
        self._size_bytes += len(packed)
        self._waiting[part].clear()

    def last_of_each(self, replaced: Callable[[int, Wish, int], None]) -> Iterator[Lines]:
        """Of each part the lines that win, in the order in which their addresses came. `replaced` is told of each other
        line, with the one that came for the same address behind it."""
        for part, pieces in enumerate(self._pieces):
            found: dict[tuple[str, str], tuple[int, Wish]] = {}
            for at in range(0, len(pieces), 2):
                self._file.seek(pieces[at])
                _replace(found, _decoder.decode(self._file.read(pieces[at + 1])), replaced)
            _replace(found, self._waiting[part], replaced)
            if found:
                yield list(found.values())

    def close(self) -> None:
        self._file.close()


def _replace(
    found: dict[tuple[str, str], tuple[int, Wish]], lines: Lines, replaced: Callable[[int, Wish, int], None]
) -> None:
    for one in lines:
        key = (one[1].address, one[1].slot)
        if (before := found.get(key)) is not None:
            replaced(*before, one[0])
        found[key] = one
