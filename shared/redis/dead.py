"""Dead entries: what no reader could handle, as it lies in the dead streams until an operator replays or drops it.

An entry is named `<stream>.<partition>[.<lane>].<id>`: `events.3.1767225612345-0`, `intake.0.1.1767225612345-0`,
`ready.2.1767225612345-0`. To replay is to put it back where it came from: whoever reads there sees it again, and has
handled it once if it did so before (handlers may run twice). A message of a ready queue goes to its site again.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from shared.redis import bus, jobs, keys
from shared.redis.ready import LANES, Queued, ReadyQueues, queue_of
from shared.redis.redis import Client, Script
from shared.words import events

STREAMS = ("intake", "ready", "events")
NAME = re.compile(r"(intake|ready|events)\.(\d{1,5})(?:\.(\d))?\.(\d{1,16}-\d{1,10})")

_REPLAY = Script.of(__file__, "dead_replay")


class Place(NamedTuple):
    """A dead stream, and the one that it takes from."""

    stream: str
    partition: int
    lane: int | None = None

    @property
    def name(self) -> str:
        return f"{self.stream}.{self.partition}" + ("" if self.lane is None else f".{self.lane}")

    @property
    def live(self) -> str:
        if self.stream == "intake":
            return keys.intake(self.partition, self.lane or 0)
        return (
            keys.events(self.partition)
            if self.stream == "events"
            else keys.ready_prefix(self.partition, "email").rstrip(":")
        )

    @property
    def dead(self) -> str:
        return keys.dead(self.live)


class Dead(NamedTuple):
    """One entry. `origin` names the stream, entry and group that it was buried from; of a Ready it is its site."""

    place: Place
    entry: bus.Entry
    reason: str
    origin: str

    @property
    def name(self) -> str:
        return f"{self.place.name}.{self.entry.stream_id}"

    @property
    def buried_ms(self) -> int:
        return int(self.entry.stream_id.partition("-")[0])


class CannotReplay(Exception):
    """It cannot be understood, as it could not then: the text says why."""


class DeadLetters:
    """Every method raises RedisAway."""

    def __init__(self, client: Client, partitions: int) -> None:
        self._client = client
        self._partitions = partitions
        self._queues = ReadyQueues(client, "email")

    def _places(self, stream: str | None) -> Iterator[Place]:
        for one in STREAMS if stream is None else (stream,):
            for p in range(self._partitions):
                if one == "intake":
                    yield from (Place(one, p, lane) for lane in sorted(set(LANES.values())))
                else:
                    yield Place(one, p)

    async def page(self, stream: str | None, after: str, most: int) -> list[Dead]:
        """Up to so many, of one stream or of all (None), behind the one of that name ("": from the first)."""
        known = self._place_of(after)
        found: list[Dead] = []
        is_behind = known is None
        for place in self._places(stream):
            first = "-"
            if known is not None and place == known[0]:
                is_behind, first = True, f"({known[1]}"
            if is_behind and len(found) < most:
                read = await self._client.xrange(place.dead, first, "+", count=most - len(found))
                found += [_dead(place, number, fields) for number, fields in read]
        return found

    async def get(self, name: str) -> Dead | None:
        """None if there is none of that name."""
        known = self._place_of(name)
        if known is None:
            return None
        place, number = known
        read = await self._client.xrange(place.dead, number, number)
        return _dead(place, *read[0]) if read else None

    async def drop(self, dead: Dead) -> bool:
        """Whether it was still there."""
        return bool(await self._client.xdel(dead.place.dead, dead.entry.stream_id))

    async def replay(self, dead: Dead) -> bool:
        """Whether it was still there. CannotReplay."""
        try:
            message = dead.entry.message()
        except bus.DeadLetter as fault:
            raise CannotReplay(str(fault)) from None
        if not isinstance(message, events.Ready):
            place = dead.place
            return bool(await _REPLAY(self._client, [place.dead, place.live], [dead.entry.stream_id]))
        found = await jobs.read(self._client, self._partitions, message.job, (jobs.RATE,))
        queue = queue_of(message.tenant, message.job, found[jobs.RATE])
        row = Queued(LANES[message.stream], dead.origin, queue, dead.entry.body, message.expires_at)
        # Marked with the name of the entry: who died between the two steps puts it back once.
        await self._queues.enqueue(dead.place.partition, f"dead.{dead.name}", 0, [row])
        return await self.drop(dead)

    def _place_of(self, name: str) -> tuple[Place, str] | None:
        found = NAME.fullmatch(name)
        if found is None or int(found[2]) >= self._partitions or (found[1] == "intake") is (found[3] is None):
            return None
        return Place(found[1], int(found[2]), None if found[3] is None else int(found[3])), found[4]


def _dead(place: Place, number: bytes, fields: dict[bytes, bytes]) -> Dead:
    reason, origin = (fields.get(name, b"").decode("utf-8", "replace") for name in (b"reason", b"origin"))
    return Dead(place, bus.entry(number, fields), reason, origin)
