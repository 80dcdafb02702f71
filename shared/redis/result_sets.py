"""Who is in a set of recipients (`shared.words.result_sets`), read a window of ordinals at a time.

A set of one job costs two short reads for each 65,536 ordinals, and what its recipients are costs as much as there are
of them. Over several jobs the messages in the named sets are read twice: once for their addresses, which are joined in
memory (18 bytes a message, `shared.words.joined`), and once for those that were chosen.

A job is read while things go on happening to it: each window is as it was when it was read.
"""

import asyncio
from array import array
from bisect import bisect_left
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from shared.redis import jobs, keys, recipients
from shared.redis.recipients import Chunk, Viewed
from shared.redis.redis import Client
from shared.words import content, ids, result_sets, standing
from shared.words.errors import Fault
from shared.words.joined import Join
from shared.words.result_sets import Asked, Expression, Node, Set

#: Ordinals of a window: 64 kB of states, and a mask of each set.
WINDOW = 65_536
#: Chunks of recipients read at once: some 10,000 of them, 300 kB.
TOGETHER = 20
#: Messages that are joined at once: 90 MB.
MOST_JOINED = 5_000_000
#: Bits of a join in one plane: a byte of a mask.
_PLANE = 8
_UNIQUE = ":unique"
_EXCLUDED = result_sets.KINDS["excluded"].states or ()


class Member(NamedTuple):
    """A message in a set, and what is shown of it. `state` is its byte; `reason` why it was left out, "" if it was not
    or nobody knows."""

    job: str
    ordinal: int
    recipient: Viewed
    state: int
    reason: str
    opened: bool
    clicked: bool


class Gone(LookupError):
    """A job that an expression names is not there any more."""


@dataclass(frozen=True)
class Named:
    """A job of an expression as it is read."""

    id: str
    total: int
    sets: Mapping[Set, Asked]
    #: Reasons for which somebody was left out of it.
    reasons: Sequence[str]


class ResultSets:
    """Every method raises RedisAway."""

    def __init__(self, client: Client, partitions: int, most_joined: int = MOST_JOINED) -> None:
        self._client = client
        self._partitions = partitions
        self._most_joined = most_joined

    async def named(self, tenant: str, expression: Expression) -> tuple[list[Named], list[Fault]]:
        """The jobs of the expression, the latest first; and what it names that is not there, or is another tenant's."""
        found: list[Named] = []
        faults: list[Fault] = []
        for job in expression.jobs:
            sets = {one: at for one, at in expression.sets.items() if one.job == job}
            read = await jobs.read(self._client, self._partitions, job, (jobs.TENANT, jobs.TOTAL))
            if read[jobs.TENANT] != tenant:
                faults += [Fault(f"{at}.job", f"there is no job {job}") for at in sets.values()]
                continue
            positions = await self._positions(job) if any(one.link is not None or one.url for one in sets) else {}
            asked: dict[Set, Asked] = {}
            for one, at in sets.items():
                if one.link is not None and one.link not in {place for some in positions.values() for place in some}:
                    faults.append(Fault(f"{at}.link", "the job has no tracked link at that position"))
                elif one.url is not None and one.url not in positions:
                    faults.append(Fault(f"{at}.url", "the job has no tracked link to that URL"))
                asked[one] = result_sets.asked(one, positions.get(one.url or "", ()))
            found.append(Named(job, read[jobs.TOTAL], asked, await self._reasons(job)))
        return found, faults

    async def _positions(self, job: str) -> dict[str, list[int]]:
        packed = (await jobs.read(self._client, self._partitions, job, (jobs.CONTENT,)))[jobs.CONTENT]
        return content.positions_by_url(content.decode(packed).links if packed else [])

    async def _reasons(self, job: str) -> list[str]:
        names = await self._client.hkeys(keys.job_counts(ids.job_partition(job, self._partitions), job))
        counters = [name.decode() for name in names if name.endswith(_UNIQUE.encode())]
        reasons = [standing.excluded_reason(name.removesuffix(_UNIQUE)) for name in counters]
        return sorted(reason for reason in reasons if reason is not None)

    # Messages of one job

    async def messages(self, named: Named, one: Set, after: int = -1) -> AsyncIterator[list[Member]]:
        """Of one set, behind that ordinal, in their order; some at a time."""
        async for window in self._windows(named, after + 1):
            mask = window.mask(named.sets[one])
            wanted = [ordinal for ordinal in window.ordinals(mask) if ordinal > after]
            async for some in self._members(named, window, wanted):
                yield some

    # Recipients of any number

    async def recipients(self, found: Sequence[Named], node: Node, key: bytes) -> AsyncIterator[list[Member]]:
        """Of an expression: each address once, with its latest message in a set that is named; some at a time. Who was
        erased is in none. TooMany, before any comes. `key` is by chance."""
        if len(found) == 1:
            async for some in self._of_one(found[0], node):
                yield some
            return
        for named, chosen in zip(found, await self._chosen(found, node, key), strict=True):
            async for window in self._windows(named, 0, only=chosen):
                async for some in self._members(named, window, window.slice(chosen)):
                    yield [member for member in some if member.recipient.email]

    async def _of_one(self, named: Named, node: Node) -> AsyncIterator[list[Member]]:
        """Nobody is in a job twice but as a duplicate, which is left out: so no address is looked at."""
        async for window in self._windows(named, 0):
            masks = {one: window.mask(asked) for one, asked in named.sets.items()}
            mask = result_sets.evaluated(node, masks, window.once())
            async for some in self._members(named, window, list(window.ordinals(mask))):
                yield [member for member in some if member.recipient.email]

    async def _chosen(self, found: Sequence[Named], node: Node, key: bytes) -> list["array[int]"]:
        """Of each job the ordinals that are chosen, in their order."""
        every = [one for named in found for one in named.sets]
        holds = _holding(node, every)
        join = Join(key, self._most_joined)
        for place, named in enumerate(found):
            async for window in self._windows(named, 0):
                await self._join(join, place, named, window, every, whole=holds(0))
        chosen = [array("I") for _ in found]
        for some in join.chosen(holds, len(found)):
            for kept, more in zip(chosen, some, strict=True):
                kept.extend(more)
            await asyncio.sleep(0)
        return [array("I", sorted(ordinals)) for ordinals in chosen]

    async def _join(
        self, join: Join, place: int, named: Named, window: "_Window", every: Sequence[Set], *, whole: bool
    ) -> None:
        """`whole`: who is in none of the sets may be chosen, too."""
        once = window.once()
        masks = {one: window.mask(asked) & once for one, asked in named.sets.items()}
        bits_of = _bits(masks, every, window.size)
        union = once if whole else 0
        for mask in masks.values():
            union |= mask
        async for some in self._rows(named.id, list(window.ordinals(union))):
            for ordinal, row in some:
                if row.email:
                    join.add(row.email, bits_of(ordinal - window.first), place, ordinal)
            await asyncio.sleep(0)

    # Windows and rows

    async def _windows(self, named: Named, begin: int, only: Sequence[int] | None = None) -> AsyncIterator["_Window"]:
        """`only`: those in which any of these ordinals is."""
        for first in range(begin - begin % WINDOW, named.total, WINDOW):
            size = min(WINDOW, named.total - first)
            if only is None or bisect_left(only, first) < bisect_left(only, first + size):
                yield await self._window(named, first, size)

    async def _window(self, named: Named, first: int, size: int) -> "_Window":
        p = ids.job_partition(named.id, self._partitions)
        excluded = [standing.excluded_counter(reason) for reason in named.reasons]
        names = dict.fromkeys((standing.OPENS, standing.IMPLIED_OPENS, standing.CLICKS, *excluded))
        names |= dict.fromkeys(name for asked in named.sets.values() for name in (*asked.counters, *asked.also))
        states, *bits = await asyncio.gather(
            self._client.getrange(keys.job_states(p, named.id), first, first + size - 1),
            *(
                self._client.getrange(keys.job_bitmap(p, named.id, name), first // 8, (first + size - 1) // 8)
                for name in names
            ),
        )
        masks = {name: result_sets.mask_of_bits(some, size) for name, some in zip(names, bits, strict=True)}
        return _Window(first, size, states.ljust(size, b"\x00"), masks)

    async def _members(self, named: Named, window: "_Window", wanted: Sequence[int]) -> AsyncIterator[list[Member]]:
        show = window.showing(named.reasons)
        async for some in self._rows(named.id, wanted):
            yield [Member(named.id, ordinal, row, *show(ordinal)) for ordinal, row in some]
            await asyncio.sleep(0)  # 500 of them take a millisecond

    async def _rows(self, job: str, ordinals: Sequence[int]) -> AsyncIterator[list[tuple[int, Viewed]]]:
        """What is kept of these recipients, in their order, a chunk at a time."""
        at = 0
        while at < len(ordinals):
            chunks = await self._chunks(job, ordinals[at], ordinals[-1])
            before = at
            for chunk, following in zip(chunks, [*(one.first_ordinal for one in chunks[1:]), None], strict=True):
                end = len(ordinals) if following is None else bisect_left(ordinals, following, at)
                if end > at:
                    rows, first = chunk.viewed(), chunk.first_ordinal
                    found = [(one, rows[one - first]) for one in ordinals[at:end] if one - first < len(rows)]
                    at = at + len(found) if following is None else end
                    yield found
            if at == before:
                return  # nothing is kept of the others

    async def _chunks(self, job: str, first: int, last: int) -> list[Chunk]:
        """The chunk that has the first ordinal, and some that follow, up to the last."""
        key = keys.job_recipients(ids.job_partition(job, self._partitions), job)
        has_first, following = await asyncio.gather(
            self._client.zrevrangebyscore(key, first, 0, start=0, num=1),
            self._client.zrangebyscore(key, f"({first}", last, start=0, num=TOGETHER - 1),
        )
        return [recipients.read(member) for member in (*has_first, *following)]


@dataclass(frozen=True)
class _Window:
    """Ordinals from `first`: their states, and the masks of bitmaps."""

    first: int
    size: int
    states: bytes
    bits: Mapping[str, int]

    def mask(self, asked: Asked) -> int:
        return result_sets.mask(asked, self.states, self.bits, self.size)

    def once(self) -> int:
        """Everybody, without those who stand in the job a second time."""
        whole = result_sets.every(self.size)
        return whole & ~self.bits.get(standing.excluded_counter(result_sets.DUPLICATE), 0)

    def ordinals(self, mask: int) -> Iterable[int]:
        return result_sets.ordinals(mask, self.first, self.size)

    def slice(self, chosen: Sequence[int]) -> Sequence[int]:
        """Of ordinals in their order those that are in here."""
        return chosen[bisect_left(chosen, self.first) : bisect_left(chosen, self.first + self.size)]

    def showing(self, reasons: Sequence[str]) -> Callable[[int], tuple[int, str, bool, bool]]:
        """What is shown of an ordinal: its byte, why it was left out, whether a person opened and clicked."""
        opened = (self.bits[standing.OPENS] | self.bits[standing.IMPLIED_OPENS]).to_bytes(self.size, "little")
        clicked = self.bits[standing.CLICKS].to_bytes(self.size, "little")
        marks = [
            (reason, self.bits[standing.excluded_counter(reason)].to_bytes(self.size, "little")) for reason in reasons
        ]

        def show(ordinal: int) -> tuple[int, str, bool, bool]:
            at = ordinal - self.first
            byte, reason = self.states[at], ""
            if byte & ~standing.ACCEPTED in _EXCLUDED:
                reason = next((one for one, mark in marks if mark[at]), "")
            return byte, reason, opened[at] == 1, clicked[at] == 1

        return show


def _holding(node: Node, every: Sequence[Set]) -> Callable[[int], bool]:
    """Whether the expression holds for an address, by the bits of the sets that it is in."""

    def holds(bits: int) -> bool:
        return result_sets.evaluated(node, {one: bits >> at & 1 for at, one in enumerate(every)}, 1) == 1

    return holds


def _bits(masks: Mapping[Set, int], every: Sequence[Set], size: int) -> Callable[[int], int]:
    """The bits of the sets that an ordinal of a window is in: of all sets those have one that are of its job."""
    planes: dict[int, int] = {}
    for place, one in enumerate(every):
        if one in masks:
            planes[place // _PLANE] = planes.get(place // _PLANE, 0) | masks[one] << place % _PLANE
    marks = [(plane * _PLANE, mask.to_bytes(size, "little")) for plane, mask in planes.items()]

    def bits(at: int) -> int:
        return sum(mark[at] << shift for shift, mark in marks)

    return bits
