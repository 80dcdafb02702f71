"""What one process alone may do, out of several that are started: it holds a lease, and the others stand by."""

from collections.abc import Callable
from typing import Protocol

from shared.redis.redis import Client, Script

#: How long a lease lasts when its owner says nothing.
LEASE_MS = 20_000
#: A process does nothing this close to the end of its lease: it may have stood still.
MARGIN_MS = 5_000

_HOLD = Script.of(__file__, "leases_hold")


async def hold(client: Client, key: str, owner: str, lease_ms: int = LEASE_MS) -> bool:
    """Takes, or holds on, what the key names; whether it is the owner's from when it was asked. Raises RedisAway."""
    return bool(await _HOLD(client, [key], [owner, lease_ms]))


class LeaseLost(Exception):
    """Another process may be doing it."""


class Holding(Protocol):
    async def hold(self) -> bool:
        """Whether it is this process, from when it was asked. Raises RedisAway."""


class Lease:
    """Whether this process is the one, for `LEASE_MS` after it asked last. `monotonic` in seconds."""

    def __init__(self, store: Holding, monotonic: Callable[[], float]) -> None:
        self._store = store
        self._monotonic = monotonic
        self._until = 0.0

    async def renew(self) -> bool:
        """Raises RedisAway."""
        asked = self._monotonic()
        if await self._store.hold():
            self._until = asked + LEASE_MS / 1000
        return self.is_mine

    @property
    def is_mine(self) -> bool:
        return self._monotonic() < self._until - MARGIN_MS / 1000

    def require(self) -> None:
        if not self.is_mine:
            raise LeaseLost
