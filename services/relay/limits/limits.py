"""What a relay may do, counted with all other relays: permits for messages, slots for connections, pace by provider."""

import asyncio
import time
from collections.abc import Callable, Sequence

import structlog

from services.relay.limits.paces import Paces
from services.relay.limits.permits import Limit, Permits, Wait
from services.relay.limits.slots import Slot, Slots
from shared.process.lifecycle import pause
from shared.redis.redis import Client, RedisAway
from shared.words.rates import Rate

__all__ = ["Limit", "Limits", "Slot", "Wait"]

#: How old what other relays have learned may be here. `pace.TOLD_MS` is the same.
TEND_S = 0.5


class Limits:
    """The limits as one relay (`owner`) sees them. `lease_ms`: how long a dead relay's connections are counted."""

    def __init__(
        self, client: Client, owner: str, lease_ms: int = 15_000, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._permits = Permits(client, monotonic)
        self._slots = Slots(client, owner, lease_ms, monotonic)
        self._paces = Paces(client, monotonic)
        self._log = structlog.get_logger("relay")

    async def permit(self, limits: Sequence[Limit], patience_ms: int = 0) -> Wait | None:
        """None: one message may go, right now, by all these limits. Else when to ask again, and none has counted it.
        Waits of up to `patience_ms` are waited here, in the order of asking. RedisAway: nothing may be sent."""
        return await self._permits.permit(limits, patience_ms)

    async def connect(self, limits: Sequence[Limit]) -> Slot | Wait:
        """The right to open one connection, to be given back by `disconnect`. RedisAway."""
        return await self._slots.connect(limits)

    async def disconnect(self, slot: Slot) -> None:
        """Once the connection is closed. Never fails."""
        await self._slots.disconnect(slot)

    def wanted(self, slot: Slot, busy: bool = False) -> bool:
        """Another connection waits for this one's place: close it if it is idle; with `busy=True`: close it at the end
        of its message even if there is more to send, because this relay has more than its share."""
        return self._slots.wanted(slot, busy)

    # What providers' replies say, by site and source address. The view is half a second old; own changes show at once

    def pace(self, site: str, source: str) -> Rate | None:
        """What may go to the site from this source, as found by its refusals; None: as much as there is."""
        return self._paces.pace(site, source)

    def note_accepted(self, site: str, source: str) -> None:
        """After each message that the site took: paces are made from that."""
        self._paces.note_accepted(site, source)

    async def slow_down(self, site: str, source: str) -> None:
        """After each refusal that is about our pace: the rules decide whether it is decreased. Never fails."""
        await self._paces.slow_down(site, source)

    def resting(self, site: str, source: str) -> bool:
        """Whether nothing may go to the site from this source for now."""
        return self._paces.resting(site, source)

    async def rest(self, site: str, source: str, until_ms: int) -> None:
        """Nothing goes to the site from this source until then. Never fails, never shortens."""
        await self._paces.rest(site, source, until_ms)

    def only_one(self, site: str, source: str) -> bool:
        """Whether the site is to get one connection alone from this source for now."""
        return self._paces.only_one(site, source)

    async def one_connection(self, site: str, source: str, until_ms: int) -> None:
        """One connection alone from this source until then. Never fails, never shortens."""
        await self._paces.one_connection(site, source, until_ms)

    async def run(self, stopping: asyncio.Event) -> None:
        """Keeps the slots, and this relay's view fresh. `stopping` is to be set when the last connection is closed."""
        while not stopping.is_set():
            for tend in (self._slots.tend, self._paces.tend):
                try:
                    await tend()
                except RedisAway as away:
                    self._log.warning("limits_not_tended", reason=str(away))
                except Exception:  # ours, or a server that refuses: slots would end one after the other
                    self._log.exception("limits_not_tended")
            await pause(stopping, TEND_S)
