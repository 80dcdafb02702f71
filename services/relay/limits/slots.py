"""Connections counted over all relays: a slot for each, held on a lease that its owner renews.

A limit's slots are a zset in Redis, scored by when each ends. Opening a connection takes a slot under every limit that
it is under, or none. An owner that dies stops renewing, and its slots end with their lease; the time is the server's.

An owner that could not renew (stopped, cut off) trusts a slot for less than its lease, by its own clock: when it comes
back, `Slot.lost` is true before anything else can happen, and it has to close the connection, because another relay
may have taken the place.

A relay that is refused marks the limit as wanted for a while. Who holds slots under it sees that with the next `tend`
and gives up idle connections; one that holds more of them than who wants it gives up a busy one as well, at the end of
its message, and does not take it back at once: so relays that all have mail for a site come to share its connections.
"""

import asyncio
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

import msgspec
from prometheus_client import Counter, Gauge

from services.relay.limits.permits import Limit, Wait
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

SLOTS = Gauge("estafette_relay_connection_slots", "Slots that this relay holds for connections under limits")
REFUSED = Counter("estafette_relay_connections_refused_total", "Connections not opened because a limit was reached")
LOST = Counter("estafette_relay_lost_slots_total", "Slots that could not be renewed in time: their connections close")

_CONNECT = Script.of(__file__, "slots_common", "slots_connect")
_TEND = Script.of(__file__, "slots_common", "slots_tend")


#: Slots by id, each with the names of its limits.
Held = Mapping[str, tuple[str, ...]]


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
        #: One at a time: what is refused to the first is refused to those behind it, and what ends goes together.
        self._asking = asyncio.Lock()
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
        async with self._asking:
            return await self._connect(counting)

    async def _connect(self, counting: Sequence[Limit]) -> Slot | Wait:
        sent_s = self._monotonic()
        for limit in counting:
            if (wait_s := self._full_until_s.get(limit.name, 0.0) - sent_s) > 0:
                return self._refused(limit, math.ceil(wait_s * 1000))
        self._count += 1
        names = tuple(limit.name for limit in counting)
        slot = Slot(f"{self._owner}/{self._count}", names, sent_s + self._trusted_s, self._monotonic)
        if counting and (by := await self._take(slot, [limit.connections for limit in counting])):
            self._full_until_s[names[by - 1]] = self._monotonic() + AGAIN_MS / 1000
            return self._refused(counting[by - 1], AGAIN_MS)
        self._held[slot.id] = slot
        SLOTS.set(len(self._held))
        return slot

    async def _take(self, slot: Slot, most: Sequence[int]) -> int:
        key_names = [*map(keys.slots, slot.names), *map(keys.wanted, slot.names)]
        try:
            return int(
                await _CONNECT(self._client, key_names, [self._owner, slot.id, self._lease_ms, WANTED_MS, *most])
            )
        except BaseException:  # cancelled, or the answer lost: it may have been taken
            self._ending[slot.id] = slot.names
            raise

    def _refused(self, limit: Limit, wait_ms: int) -> Wait:
        REFUSED.inc()
        return Wait(wait_ms, limit)

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
        async with self._asking:
            if slot.id in self._ending:  # else it went with another, while this one waited
                with suppress(RedisAway):
                    await self._tend({}, dict(self._ending), {})

    def wanted(self, slot: Slot, busy: bool = False) -> bool:
        """Another connection waits for this one's place: close it if it is idle, and with `busy=True`: close it after
        its message, because its relay has more than its share."""
        return any(self._wanted.get(name, 0) > busy for name in slot.names)

    async def tend(self) -> None:
        """Renews all slots in time, ends those given up, learns what is wanted. To be called every half second.
        RedisAway: what could not be renewed for too long is lost all the same."""
        sent_s = self._monotonic()
        self._full_until_s = {name: until_s for name, until_s in self._full_until_s.items() if until_s > sent_s}
        held = {slot.id: slot.names for slot in self._held.values() if slot.names and not slot.lost}
        renewed = held if sent_s >= self._renew_at_s else {}
        self._wanted = {}
        try:
            gone, self._wanted = await self._tend(renewed, dict(self._ending), held)
            if renewed:
                self._renew_at_s = sent_s + self._lease_ms / 1000 / RENEWALS
            for slot_id in renewed.keys() & self._held.keys():
                if slot_id in gone:
                    self._held[slot_id].end()
                else:
                    self._held[slot_id].renew(sent_s + self._trusted_s)
        finally:
            for slot in self._held.values():
                if slot.lost and not slot.told:
                    LOST.inc()
                    slot.end()

    async def _tend(self, renewed: Held, ending: Held, held: Held) -> tuple[set[str], dict[str, int]]:
        """Which of `renewed` are gone, and which limits of `held` are wanted how much."""
        names = list(dict.fromkeys(name for names in (*held.values(), *ending.values()) for name in names))
        if not names:
            return set(), {}
        by_limit = [
            [[slot for slot, its in some.items() if name in its] for name in names] for some in (renewed, ending)
        ]
        key_names = [*map(keys.slots, names), *map(keys.wanted, names)]
        args: list[str | bytes | int] = [self._owner, self._lease_ms, msgspec.msgpack.encode(by_limit)]
        gone, wants = await _TEND(self._client, key_names, args)
        for slot in ending:
            self._ending.pop(slot, None)
        return {slot.decode() for slot in gone}, dict(zip(names, wants, strict=True))
