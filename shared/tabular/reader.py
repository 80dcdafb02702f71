"""What reads a list, whatever its form: bytes go in as they come, what lines say comes out; and when a list is none."""

from collections.abc import Iterator
from typing import Protocol, TypeVar

from shared.words.errors import Fault

#: So many lines that nobody understands are no list.
MOST_FAULTS = 10_000
#: And so many with nothing in them: a spreadsheet saved whole has a million.
MOST_BLANK_LINES = 1_100_000

Said = TypeVar("Said", covariant=True)


class Reader(Protocol[Said]):
    """As `shared.tabular.rows.Rows`. `was_found`: the encoding was not said, and is none that goes without saying."""

    warnings: list[Fault]

    @property
    def is_over(self) -> bool: ...

    @property
    def encoding(self) -> str: ...

    @property
    def was_found(self) -> bool: ...

    def feed(self, received: bytes, *, last: bool = False) -> Iterator[tuple[int, Said | Fault | None]]:
        """By the number of its line what it says, what is wrong with it, or None of one that is empty."""
        ...
