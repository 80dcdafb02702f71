"""One partition of a search through a feed: how far it was looked through, and what was found and is not shown yet.

Pure: what a chunk holds is picked here, and places are merged here; `feed.py` reads.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import NamedTuple

from services.reports.feed import chunks
from services.reports.feed.chunks import Located, Position
from shared.words import events

#: After every place, and no number of an entry is larger.
LAST_MS, LAST_NUMBER = 2**47, 2**32 - 1
BEGINNING: Position = (0, 0)
END: Position = (LAST_MS, 0)


class Found(NamedTuple):
    """Where a fact is; in the order of the streams. `fact` is None until it was read, which is done for those alone
    that may be shown."""

    at: Position
    partition: int
    fact: events.Fact | None = None


#: What they are sorted by: where, then the partition.
_PLACE = itemgetter(0, 1)


class Filter(NamedTuple):
    """What a feed's chunks tell by themselves: numbers of types, of kinds (None: any), and the time of recording in ms,
    from which on and before which."""

    types: frozenset[int] | None = None
    kinds: frozenset[int] | None = None
    since_ms: int = 0
    until_ms: int = LAST_MS


@dataclass
class Lane:
    """`scan`: up to there everything is known, that place included; newest first: down to there, but for that place.
    `ready`: found, not shown, in the order of the search. `is_deep`: what the stream has no more is searched for in the
    archive; `floor`: the last entry that is not there, while the search is at it or beneath."""

    partition: int
    scan: Position
    is_newest: bool = False
    is_end: bool = False
    ready: list[Found] = field(default_factory=list)
    is_deep: bool = False
    floor: Position | None = None

    def pick(self, packed: Sequence[bytes], wanted: Filter, most: int) -> tuple[list[Located], bool]:
        """What of these chunks is wanted, beyond `scan`, which moves on; and whether they were gone through whole."""
        types = None if wanted.types is None else chunks.mask(wanted.types)
        kinds = None if wanted.kinds is None else chunks.mask(wanted.kinds)
        picked: list[Located] = []
        for chunk in reversed(packed) if self.is_newest else packed:
            head = chunks.head(chunk)
            if (types is not None and not head.types & types) or (kinds is not None and not head.kinds & kinds):
                self._pass(head)
                continue
            for one in self._beyond(chunks.located(chunk)):
                if one.at[0] >= wanted.until_ms if not self.is_newest else one.at[0] < wanted.since_ms:
                    self.is_end = True
                    return picked, False
                self.scan = one.at
                if (
                    (wanted.types is None or one.type in wanted.types)
                    and (wanted.kinds is None or one.kind in wanted.kinds)
                    and wanted.since_ms <= one.at[0] < wanted.until_ms
                ):
                    picked.append(one)
                    if len(picked) == most:
                        return picked, False
        return picked, True

    def _pass(self, head: chunks.Head) -> None:
        self.scan = min(self.scan, head.first) if self.is_newest else max(self.scan, head.last)

    def _beyond(self, located: Iterable[Located]) -> Iterable[Located]:
        if self.is_newest:
            return reversed([one for one in located if one.at < self.scan])
        return (one for one in located if one.at > self.scan)

    def sinks(self, trimmed: Position, since_ms: int) -> bool:
        """Whether it goes on in the archive, which has what was trimmed; to be asked before it is read on."""
        if not self.is_deep or trimmed == BEGINNING or (self.is_newest and since_ms > trimmed[0]):
            return False
        is_beneath = self.scan <= _behind(trimmed) if self.is_newest else self.scan < trimmed
        self.floor = trimmed if is_beneath else None
        return is_beneath

    def stop_at(self, trimmed: Position, picked: list[Located], is_through: bool, since_ms: int) -> list[Located]:
        """Newest first: of what was picked what the stream still has, where the rest is in the archive. Feeds keep
        places for longer than streams have what is there."""
        if not self.is_deep or not self.is_newest or trimmed == BEGINNING or since_ms > trimmed[0]:
            return picked
        if self.scan <= trimmed or self.is_end or is_through:
            self.is_end, self.scan = False, _behind(trimmed)
        return [one for one in picked if one.at > trimmed]

    def surfaced(self, found: Iterable[Found], known: Position, is_whole: bool) -> None:
        """What the archive has of it, up to there; `is_whole`: there is no more there."""
        self.ready += found
        if self.floor is None:
            return
        if is_whole and self.is_newest:
            self.ended(BEGINNING)
        elif self.is_newest:
            self.scan = min(self.scan, known)
        else:
            self.scan = self.floor if is_whole else max(self.scan, min(known, self.floor))
        self.floor = None

    def ended(self, mark: Position) -> None:
        """There is no more: what comes will be behind the mark."""
        self.is_end = True
        self.scan = BEGINNING if self.is_newest else max(self.scan, mark)


class Merged(NamedTuple):
    """What may be shown: of all lanes, up to where all are known. `is_whole`: all are at their end."""

    found: list[Found]
    is_whole: bool


def merged(lanes: Collection[Lane], is_newest: bool) -> Merged:
    """In the order of the search."""
    open_ = [lane.scan for lane in lanes if not lane.is_end]
    everything = [one for lane in lanes for one in lane.ready]
    if not open_:
        known = everything
    elif is_newest:
        horizon = max(open_)
        known = [one for one in everything if one.at >= horizon]
    else:
        horizon = min(open_)
        known = [one for one in everything if one.at <= horizon]
    return Merged(sorted(known, key=_PLACE, reverse=is_newest), not open_)


def lacking(lanes: Collection[Lane], missing: int, is_newest: bool) -> list[tuple[Lane, int]]:
    """Those that are to be read on, and by how much, so that so many more may be shown: as if they came evenly. Who is
    behind all others hinders, whatever it has."""
    open_ = [lane for lane in lanes if not lane.is_end]
    if not open_:
        return []
    horizon = max(lane.scan for lane in open_) if is_newest else min(lane.scan for lane in open_)
    each = share(missing, len(open_))
    found = []
    for lane in open_:
        waiting = sum(one.at < horizon if is_newest else one.at > horizon for one in lane.ready)
        if lane.scan == horizon or waiting < each:
            found.append((lane, each if lane.scan == horizon else each - waiting))
    return found


def share(missing: int, lanes: int) -> int:
    """How many to read of each lane where so many are missing of all; a few more, for chance."""
    return missing * 5 // (4 * lanes) + 8


def following(lanes: Collection[Lane], last: Found | None, is_newest: bool) -> dict[int, Position]:
    """Where each partition of the search goes on, when `last` was the last one shown; None: all that was known."""
    open_ = [lane.scan for lane in lanes if not lane.is_end]
    going_on: dict[int, Position] = {}
    for lane in lanes:
        if is_newest:
            known = max([lane.scan, *open_])
            going_on[lane.partition] = known if last is None else max(lane.scan, place_before(last, lane.partition))
        else:
            known = min([lane.scan, *open_])
            going_on[lane.partition] = known if last is None else min(lane.scan, place_after(last, lane.partition))
    return going_on


def _behind(at: Position) -> Position:
    return at[0], at[1] + 1


def place_after(last: Found, partition: int) -> Position:
    """Behind the last that was shown; where another partition has one at the same place, not behind that one."""
    ms, number = last.at
    if partition <= last.partition:
        return last.at
    return (ms, number - 1) if number else (max(ms - 1, 0), LAST_NUMBER)


def place_before(last: Found, partition: int) -> Position:
    ms, number = last.at
    return last.at if partition >= last.partition else (ms, number + 1)
