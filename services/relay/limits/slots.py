"""Connections counted over all relays: a slot for each, held on a lease that its owner renews.

A limit's slots are a zset in Redis, scored by when each ends. Opening a connection takes a slot under every limit that
it is under, or none. An owner that dies stops renewing, and its slots end with their lease; the time is the server's.

An owner that could not renew (stopped, cut off) trusts a slot for less than its lease, by its own clock: when it comes
back, `Slot.lost` is true before anything else can happen, and it has to close the connection, because another relay
may have taken the place.

A relay that is refused marks the limit as wanted for a while. Who holds slots under it sees that with the next `tend`
and gives up idle connections; one that holds more of them than who wants it gives up a busy one as well, at the end of
its message, and does not take it back at once: so relays that all have mail for a site come to share its connections.

A relay may have thousands of sites, and a connection or two to each. So what is asked for while a call is on its way is
asked for together with the next, in order, and what ends goes along; and what is tended goes in pieces, none of which
holds Redis up.
"""

import asyncio
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

import msgspec
from prometheus_client import Counter, Gauge

from services.relay.limits.permits import Limit, Wait
from shared.process.together import Together
from shared.redis import keys
from shared.redis.redis import Client, RedisAway, Script

#: A slot is trusted for so much of its lease: the rest covers the round trip and the closing.
TRUSTED = 0.8
#: Leases are renewed this often in their time: three renewals may fail.
RENEWALS = 5
#: After this a refused connection is asked for again. Idle ones are given up within `tend`'s interval, 500 ms.
AGAIN_MS = 250
#: A limit is wanted for so long after the last refusal: a few times `AGAIN_MS` and the interval of `tend`.
WANTED_MS = 2000
#: Connections asked for in one call, and slots ended with it: a script of so many takes Redis about a millisecond.
ASKED_TOGETHER = 100
#: Limits and slots of one call of `tend`.
TENDED_TOGETHER = 500

SLOTS = Gauge("estafette_relay_connection_slots", "Connection leases (slots) that this relay holds under limits")
REFUSED = Counter("estafette_relay_connections_refused_total", "Connections not opened because a limit was reached")
LOST = Counter("estafette_relay_lost_slots_total", "Connection leases that could not be renewed in time: these close")

_CONNECT = Script.of(__file__, "slots_common", "slots_connect")
_TEND = Script.of(__file__, "slots_common", "slots_tend")

#: A limit by its name, slots to renew under it, and slots to end.
Row = tuple[str, list[str], list[str]]


class Slot:
    """The right to one open connection, under the limits `names`. Ask `lost` before each use."""

    __slots__ = ("_ended", "_held_until_s", "_monotonic", "id", "names")

    def __init__(self, slot_id: str, names: tuple[str, ...], held_until_s: float, monotonic: Callable[[], float]):
        self.id = slot_id
        self.names = names
        self._held_until_s = held_until_s
        self._monotonic = monotonic
        self._ended = False

    @property
    def lost(self) -> bool:
        """The lease may be over, and another connection in this one's place: close it."""
        return bool(self.names) and (self._ended or self._monotonic() >= self._held_until_s)

    @property
    def told(self) -> bool:
        return self._ended

    def renew(self, held_until_s: float) -> None:
        self._held_until_s = held_until_s

    def end(self) -> None:
        self._ended = True


@dataclass(slots=True)
class _Asked:
    """A slot that somebody wants, under which limits, and whether Redis has been asked."""

    slot: Slot
    limits: Sequence[Limit]
    is_sent: bool = False


class Slots:
    """The slots of one process. `lease_ms`: how long the slots of a dead relay are counted. `monotonic` in seconds."""

    def __init__(
        self, client: Client, owner: str, lease_ms: int = 15_000, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._client = client
        self._owner = owner
        self._lease_ms = lease_ms
        self._trusted_s = lease_ms / 1000 * TRUSTED
        self._renew_at_s = 0.0
        self._monotonic = monotonic
        #: None: what has ended is to be told.
        self._asking: Together[_Asked | None, Slot | Wait | None] = Together(
            self._ask, most=ASKED_TOGETHER, name="slots"
        )
        self._count = 0
        self._held: dict[str, Slot] = {}
        #: Slots given up that Redis has not heard of.
        self._ending: dict[str, tuple[str, ...]] = {}
        #: Limits that refused a connection, until when nobody here asks again.
        self._full_until_s: dict[str, float] = {}
        self._wanted: dict[str, int] = {}

    async def connect(self, limits: Sequence[Limit]) -> Slot | Wait:
        """A slot under all the limits that count connections, or which of them refused. RedisAway."""
        counting = [limit for limit in {limit.name: limit for limit in limits}.values() if limit.connections]
        self._count += 1
        names = tuple(limit.name for limit in counting)
        slot = Slot(f"{self._owner}/{self._count}", names, self._monotonic() + self._trusted_s, self._monotonic)
        if not names:
            return self._given(slot)
        if (refused := self._refused(counting)) is not None:
            return refused
        asked = _Asked(slot, counting)
        try:
            found = await self._asking.ask(asked)
        except asyncio.CancelledError:
            slot.end()  # if it comes, nobody is there to use it
            self._held.pop(slot.id, None)
            if asked.is_sent:
                self._ending[slot.id] = names
            raise
        assert found is not None
        return found

    async def _ask(self, questions: Sequence[_Asked | None]) -> Sequence[Slot | Wait | None]:
        """One after the other, as they came: what is refused to the first is refused to those behind it."""
        found: list[Slot | Wait | None] = [
            self._refused(question.limits) if question is not None else None for question in questions
        ]
        going = [
            (at, question)
            for at, question in enumerate(questions)
            if question is not None and found[at] is None and not question.slot.told
        ]
        sent_s = self._monotonic()
        ending = dict(islice(self._ending.items(), ASKED_TOGETHER))
        refusals = await self._take([question for _, question in going], ending) if going or ending else []
        for (at, question), by in zip(going, refusals, strict=True):
            slot = question.slot
            if by:
                self._full_until_s[slot.names[by - 1]] = self._monotonic() + AGAIN_MS / 1000
                found[at] = self._refused(question.limits)
            elif slot.told:
                self._ending[slot.id] = slot.names
            else:
                slot.renew(sent_s + self._trusted_s)
                found[at] = self._given(slot)
        return found

    async def _take(self, asked: Sequence[_Asked], ending: Mapping[str, tuple[str, ...]]) -> Sequence[int]:
        """For each 0, or which of its limits refused, counted from 1."""
        names, told = question(asked, ending)
        for one in asked:
            one.is_sent = True
        key_names = [*map(keys.slots, names), *map(keys.wanted, names)]
        try:
            answer: Sequence[int] = await _CONNECT(
                self._client, key_names, [self._owner, self._lease_ms, WANTED_MS, told]
            )
        except BaseException:  # cancelled, or the answer lost: they may have been taken
            self._ending.update((one.slot.id, one.slot.names) for one in asked)
            raise
        self._told(ending)
        return answer

    def _given(self, slot: Slot) -> Slot:
        self._held[slot.id] = slot
        SLOTS.set(len(self._held))
        return slot

    def _refused(self, limits: Iterable[Limit]) -> Wait | None:
        """By a limit that is full as far as is known here."""
        now_s = self._monotonic()
        for limit in limits:
            if (wait_s := self._full_until_s.get(limit.name, 0.0) - now_s) > 0:
                REFUSED.inc()
                return Wait(math.ceil(wait_s * 1000), limit)
        return None

    def _told(self, ending: Iterable[str]) -> None:
        for slot_id in ending:
            self._ending.pop(slot_id, None)

    async def disconnect(self, slot: Slot) -> None:
        """Once the connection is closed. Never fails: what Redis does not hear now it hears with the next `tend`."""
        if self._held.pop(slot.id, None) is None:
            return
        SLOTS.set(len(self._held))
        if not slot.names:
            return
        self._ending[slot.id] = slot.names
        for name in slot.names:  # what was wanted is given, as far as this process knows
            self._full_until_s.pop(name, None)
            self._wanted.pop(name, None)
        with suppress(RedisAway):
            await self._asking.ask(None)

    def wanted(self, slot: Slot, busy: bool = False) -> bool:
        """Another connection waits for this one's place: close it if it is idle, and with `busy=True`: close it after
        its message, because its relay has more than its share."""
        return bool(self._wanted) and any(self._wanted.get(name, 0) > busy for name in slot.names)

    async def tend(self) -> None:
        """Renews all slots in time, ends those given up, learns what is wanted. To be called every half second.
        RedisAway: what could not be renewed for too long is lost all the same."""
        sent_s = self._monotonic()
        self._full_until_s = {name: until_s for name, until_s in self._full_until_s.items() if until_s > sent_s}
        held = [slot for slot in self._held.values() if slot.names and not slot.lost]
        renewed = held if sent_s >= self._renew_at_s else []
        ending = dict(self._ending)
        self._wanted = {}
        gone: set[str] = set()
        try:
            for piece in pieces(renewed, ending, held):
                gone |= await self._tend(piece)
            self._told(ending)
            if renewed:
                self._renew_at_s = sent_s + self._lease_ms / 1000 / RENEWALS
            for slot in renewed:
                if slot.id in gone:
                    slot.end()
                else:
                    slot.renew(sent_s + self._trusted_s)
        finally:
            for slot in self._held.values():
                if slot.lost and not slot.told:
                    LOST.inc()
                    slot.end()

    async def _tend(self, piece: Sequence[Row]) -> set[str]:
        """Which of the slots to be renewed are gone; what is wanted is noted."""
        names = [name for name, _, _ in piece]
        told = msgspec.msgpack.encode(([held for _, held, _ in piece], [ended for _, _, ended in piece]))
        key_names = [*map(keys.slots, names), *map(keys.wanted, names)]
        gone, wants = await _TEND(self._client, key_names, [self._owner, self._lease_ms, told])
        for name, wanted in zip(names, wants, strict=True):
            if wanted:
                self._wanted[name] = wanted
        return {slot.decode() for slot in gone}


def question(asked: Sequence[_Asked], ending: Mapping[str, tuple[str, ...]]) -> tuple[list[str], bytes]:
    """The limits in the order of their numbers, and what the script is to do with them."""
    numbers: dict[str, int] = {}

    def number(name: str) -> int:
        return numbers.setdefault(name, len(numbers) + 1)

    requests: list[list[str | int]] = []
    for one in asked:
        request: list[str | int] = [one.slot.id]
        for limit in one.limits:
            request += (number(limit.name), limit.connections)
        requests.append(request)
    ended: defaultdict[int, list[str]] = defaultdict(list)
    for slot_id, names in ending.items():
        for name in names:
            ended[number(name)].append(slot_id)
    return [*numbers], msgspec.msgpack.encode(([ended[at] for at in numbers.values()], requests))


def pieces(
    renewed: Iterable[Slot], ending: Mapping[str, tuple[str, ...]], held: Iterable[Slot]
) -> Iterator[Sequence[Row]]:
    """What there is to tell of slots, by limit, in pieces for one call each; the limits of `held` are all there."""
    rows: dict[str, tuple[list[str], list[str]]] = {name: ([], []) for slot in held for name in slot.names}
    for slot in renewed:
        for name in slot.names:
            rows.setdefault(name, ([], []))[0].append(slot.id)
    for slot_id, names in ending.items():
        for name in names:
            rows.setdefault(name, ([], []))[1].append(slot_id)
    piece: list[Row] = []
    weight = 0
    for name, (of_held, ended) in rows.items():
        for at in range(0, max(1, len(of_held), len(ended)), TENDED_TOGETHER):
            row = name, of_held[at : at + TENDED_TOGETHER], ended[at : at + TENDED_TOGETHER]
            weight += 1 + len(row[1]) + len(row[2])
            piece.append(row)
            if weight >= TENDED_TOGETHER:
                yield piece
                piece, weight = [], 0
    if piece:
        yield piece
