"""What the lines of a file ask for, put aside until all have come, so that the last line of each address wins.

Parts (`shared.tabular.last_lines`) of addresses that Redis has in one place follow each other. They are in a file
without a name, which stays in memory while it is small, takes some sixty bytes a line of the disk then, and is gone
with the process.
"""

import tempfile
from collections.abc import Callable, Iterator

from services.suppression.moving.wishes import Wish
from shared.tabular import last_lines
from shared.tabular.last_lines import PARTS, LastLines

#: Of a file before it goes to the disk, in bytes: a list of a hundred thousand stays.
IN_MEMORY_BYTES = 8_388_608

Lines = last_lines.Lines[Wish]


class Spool:
    """Of one file. `place_of` says in which of so many `places` an address is. `close` it."""

    def __init__(
        self,
        place_of: Callable[[str], int],
        places: int,
        parts: int = PARTS,
        in_memory_bytes: int = IN_MEMORY_BYTES,
    ) -> None:
        of_a_place = max(1, parts // places)
        self._file = tempfile.SpooledTemporaryFile(in_memory_bytes)  # noqa: SIM115  (it lives as long as this does)

        def part_of(wish: Wish) -> int:
            return place_of(wish.address) * of_a_place + hash(wish.address) % of_a_place

        self._lines = LastLines(Wish, lambda wish: (wish.address, wish.slot), part_of, places * of_a_place, self._file)
        self.add = self._lines.add

    def last_of_each(self, replaced: Callable[[int, Wish, int], None]) -> Iterator[Lines]:
        """Of each part the lines that win (`LastLines.of_each`)."""
        return self._lines.of_each(replaced)

    def close(self) -> None:
        self._file.close()
