"""Lines of a file put aside until all have come, so that the last one of each key wins. Pure.

Ten million lines do not fit into memory, and which of two lines is the last is known at the end. So each goes, by its
key, into one of many parts, in which it is in order and all lines of its key are. Read back one by one, each part fits,
and its last lines win. A part is written in pieces, all of them to one file.
"""

from array import array
from collections.abc import Callable, Hashable, Iterator
from typing import IO, Any, Generic, TypeVar

import msgspec

#: So many, that a part of a list of ten million has some forty thousand lines.
PARTS = 256
#: Lines of a part that are written at once.
_AT_ONCE = 32

T = TypeVar("T")
Lines = list[tuple[int, T]]

_encoder = msgspec.msgpack.Encoder()


class LastLines(Generic[T]):
    """Of one file. `kind` is the type of what a line says, `key_of` tells what of it replaces what, and `part_of` in
    which of so many `parts` it is: lines with one key in one part. `file` can be written and read."""

    def __init__(
        self,
        kind: type[T],
        key_of: Callable[[T], Hashable],
        part_of: Callable[[T], int],
        parts: int,
        file: IO[bytes] | Any,
    ) -> None:
        self._decoder = msgspec.msgpack.Decoder(list[tuple[int, kind]])  # type: ignore[valid-type]
        self._key_of = key_of
        self._part_of = part_of
        self._waiting: list[Lines[T]] = [[] for _ in range(parts)]
        #: Where the pieces of each part begin and how long they are, in turns.
        self._pieces = [array("Q") for _ in range(parts)]
        self._file = file
        self._size_bytes = 0

    def add(self, line: int, one: T) -> None:
        part = self._part_of(one)
        waiting = self._waiting[part]
        waiting.append((line, one))
        if len(waiting) == _AT_ONCE:
            packed = _encoder.encode(waiting)
            self._file.write(packed)
            self._pieces[part].extend((self._size_bytes, len(packed)))
            self._size_bytes += len(packed)
            waiting.clear()

    def of_each(self, replaced: Callable[[int, T, int], None]) -> Iterator[Lines[T]]:
        """Of each part the lines that win, in the order in which their keys came. `replaced` is told of each other
        line, with the one that came for the same key behind it."""
        for part, pieces in enumerate(self._pieces):
            found: dict[Hashable, tuple[int, T]] = {}
            for at in range(0, len(pieces), 2):
                self._file.seek(pieces[at])
                self._replace(found, self._decoder.decode(self._file.read(pieces[at + 1])), replaced)
            self._replace(found, self._waiting[part], replaced)
            if found:
                yield list(found.values())

    def _replace(
        self, found: dict[Hashable, tuple[int, T]], lines: Lines[T], replaced: Callable[[int, T, int], None]
    ) -> None:
        for one in lines:
            key = self._key_of(one[1])
            if (before := found.get(key)) is not None:
                replaced(*before, one[0])
            found[key] = one
