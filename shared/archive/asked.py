"""What a search of the archive is asked, and what it answers."""

from collections import Counter
from collections.abc import Mapping
from typing import Literal, NamedTuple, Protocol

from shared.archive.columns import NumberKind
from shared.words import events

#: Of an entry of a stream: ms and number.
Position = tuple[int, int]


class SearchFailed(Exception):
    """The archive cannot be searched now; its text is for callers."""


class TooSlow(SearchFailed):
    """Nothing was found out within the time of a search."""


class Place(NamedTuple):
    """Of a partition: behind which entry, and up to which one, with it."""

    after: Position
    upto: Position


class Asked(NamedTuple):
    """Which events: of the tenant, in these places by partition (at least one); of these types, of that job, of its
    recipient at `ordinal`, about that address (lower case), of jobs with that tag, list, stream (one of), where not
    None. The first `limit` in the order of the streams' clocks, or the last, latest first."""

    tenant: str
    places: Mapping[int, Place]
    limit: int
    types: frozenset[str] | None = None
    job: str | None = None
    ordinal: int | None = None
    email: str | None = None
    tag: str | None = None
    list: str | None = None
    streams: frozenset[str] | None = None
    is_newest: bool = False


class Row(NamedTuple):
    at: Position
    partition: int
    fact: events.Fact


class Answer(NamedTuple):
    """`known_ms`: of what was recorded before it (newest first: from it on) all that is wanted is among the rows, but
    for what `limit` left out. `is_whole`: there is no more."""

    rows: list[Row]
    known_ms: int
    is_whole: bool


class AskedNumbers(NamedTuple):
    """Which numbers of a tenant's statistics: from the first to the last hour since 1970, but for days (since 1970) and
    partitions that are `known` from elsewhere; of that kind, told apart by one of its columns ("": by none; `tag`: each
    of `tags`) and by hour or day; of jobs that have all these, by name. Of at most `limit` keys, times and codes."""

    tenant: str
    first_hour: int
    last_hour: int
    known: frozenset[tuple[int, int]]
    kind: NumberKind
    by: str
    interval: Literal["none", "day", "hour"]
    filters: Mapping[str, str]
    limit: int


class Numbers(NamedTuple):
    """By key (None: there is none) and the hour at which its day or hour begins (-1 where they are not told apart by
    that) how many by code; and all of them together."""

    rows: Mapping[tuple[str | None, int], Counter[int]]
    total: Counter[int]


class Counts(Protocol):
    """What has the statistics that Redis has no more."""

    async def numbers(self, asked: AskedNumbers) -> Numbers:
        """SearchFailed."""


class Behind(Protocol):
    """What has the events that the streams have no more."""

    async def find(self, asked: Asked) -> Answer:
        """SearchFailed."""

    async def close(self) -> None:
        """Once nobody asks any more."""


class Missing:
    """In the place of a search where its libraries are not installed."""

    def __init__(self, library: str) -> None:
        self._library = library

    async def find(self, asked: Asked) -> Answer:
        raise self._failed()

    async def numbers(self, asked: AskedNumbers) -> Numbers:
        raise self._failed()

    def _failed(self) -> SearchFailed:
        return SearchFailed(f"the archive cannot be searched: {self._library} is not installed")

    async def close(self) -> None:
        """There is nothing to close."""
