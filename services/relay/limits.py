"""What a relay may do, counted with all other relays: permits for messages, slots for connections, pace by provider."""

import asyncio
import time
from collections.abc import Callable, Sequence

import structlog

from services.relay.permits import Limit, Permits, Wait
from services.relay.slots import Slot, Slots
from shared.lifecycle import pause
from shared.redis import Client, RedisAway

__all__ = ["Limit", "Limits", "Slot", "Wait"]

#: How old what other relays have learned may be here.
TEND_S = 0.5


class Limits:
    """The limits as one relay (`owner`) sees them. `lease_ms`: how long a dead relay's connections are counted."""

    def __init__(
        self, client: Client, owner: str, lease_ms: int = 15_000, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._permits = Permits(client, monotonic)
        self._slots = Slots(client, owner, lease_ms, monotonic)
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

    async def run(self, stopping: asyncio.Event) -> None:
        """Keeps the slots, and this relay's view fresh. `stopping` is to be set when the last connection is closed."""
        while not stopping.is_set():
            try:
                await self._slots.tend()
            except RedisAway as away:
                self._log.warning("limits_not_tended", reason=str(away))
            except Exception:  # ours, or a server that refuses: slots would end one after the other
                self._log.exception("limits_not_tended")
            await pause(stopping, TEND_S)
