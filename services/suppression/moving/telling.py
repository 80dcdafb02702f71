"""What became of the lines of a file: counts of all, and a report of those that are not simply done. Pure.

Each line that is not empty is in exactly one count, so that they add up to `lines`. In the report stand the lines that
somebody may want to look at: refused, replaced by a later line, taken off the list, left as they were against the
file's word. The others are as the file says, and there may be ten million of them.
"""

from collections.abc import Iterator
from typing import Literal, NamedTuple

from shared.tabular import cells

#: `listed`: it was not on the list for that channel and scope, and is. `unchanged`: it was, and the stronger reason
#: holds, or there was nothing to do. `reactivated`: something that stopped it
#: was taken off. `counted`: a soft bounce was. `kept`: what stops it stays, against the line's word. `replaced`: a
#: later line is about the same address. `refused`: nobody knows what the line wants.
Word = Literal["listed", "unchanged", "reactivated", "counted", "kept", "replaced", "refused"]
#: Of those that a line with several acts could be, the first counts.
WORDS: tuple[Word, ...] = ("kept", "reactivated", "listed", "counted", "unchanged", "replaced", "refused")
#: What is told of each line that ends so.
_TOLD: frozenset[Word] = frozenset(("kept", "reactivated", "replaced", "refused"))
#: Lines of a report; more are counted. (Some 8 MB of memory, and a tenth of that where it is kept.)
MOST_LINES = 50_000
HEADING = ("line", "address", "result", "detail")


class Told(NamedTuple):
    line: int
    address: str
    word: Word
    what: str


class Telling:
    """Of one import."""

    def __init__(self, most: int = MOST_LINES) -> None:
        self.counts: dict[Word, int] = dict.fromkeys(WORDS, 0)
        self._told: list[Told] = []
        self._most = most
        #: Lines that belonged into the report, with those that had no room.
        self.told = 0

    @property
    def lines(self) -> int:
        """How many have come to an end."""
        return sum(self.counts.values())

    def tell(self, line: int, address: str, word: Word, what: str = "") -> None:
        self.counts[word] += 1
        if word in _TOLD:
            self.told += 1
            if len(self._told) < self._most:
                self._told.append(Told(line, address, word, what))

    def rows(self, delimiter: str = ",") -> Iterator[str]:
        """The report as CSV, in the order of the file, its heading first."""
        yield row(HEADING, delimiter)
        for one in sorted(self._told):
            yield row((str(one.line), one.address, one.word, one.what), delimiter)


def row(texts: tuple[str, ...], delimiter: str) -> str:
    return delimiter.join(cells.quoted(text, delimiter) for text in texts) + "\r\n"
