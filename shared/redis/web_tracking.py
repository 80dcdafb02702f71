"""On which sites tenants follow visitors by consent (`shared.words.visits`), as the API writes it and trackers know it.

A click waits for no look-up, so each tracker keeps what all tenants chose: few have any. The hash has a mark that is
another after each change; a tracker looks at it twice a second, and reads the rest only then.
"""

import asyncio
from collections.abc import Callable

import msgspec
import structlog

from shared.process.lifecycle import pause
from shared.redis import keys
from shared.redis.redis import Client, RedisAway, answer
from shared.words.visits import OFF, WebTracking

#: Two looks in the second within which a change has to hold.
POLL_S = 0.4
#: The field of the mark: no tenant is called so.
_MARK = ""

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(WebTracking)


class WebTrackingRules:
    """The side of the API. `chance(n)` gives n unpredictable bytes. Raises RedisAway."""

    def __init__(self, client: Client, chance: Callable[[int], bytes]) -> None:
        self._client = client
        self._chance = chance

    async def of(self, tenant: str) -> WebTracking:
        stored = await self._client.hget(keys.web_tracking(), tenant)
        return OFF if stored is None else _decoder.decode(stored)

    async def put(self, tenant: str, wanted: WebTracking) -> None:
        """`OFF` takes back what there is."""
        # One command: whoever sees the new mark sees what it stands for.
        pipeline = self._client.pipeline(transaction=False)
        pipeline.execute_command("HSET", keys.web_tracking(), tenant, _encoder.encode(wanted), _MARK, self._chance(8))
        await answer(pipeline.execute())


class WebTrackings:
    """The side of trackers: what they know. `is_known` once it was read."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._tenants: dict[str, WebTracking] = {}
        self._mark: bytes | None = None
        self.is_known = False
        self._log = structlog.get_logger("web_tracking")

    def of(self, tenant: str) -> WebTracking | None:
        """What the tenant chose; None if it chose nothing, or nothing is known yet."""
        return self._tenants.get(tenant)

    async def look(self) -> None:
        """Reads what has changed. Raises RedisAway."""
        mark = await self._client.hget(keys.web_tracking(), _MARK)
        if self.is_known and mark == self._mark:
            return
        found = await self._client.hgetall(keys.web_tracking())
        self._mark = found.pop(_MARK.encode(), None)
        chosen = {tenant.decode(): _decoder.decode(stored) for tenant, stored in found.items()}
        self._tenants = {tenant: one for tenant, one in chosen.items() if one.sites}
        self.is_known = True

    async def run(self, stopping: asyncio.Event) -> None:
        """Keeps it fresh until `stopping`."""
        while not stopping.is_set():
            try:
                await self.look()
            except RedisAway as away:
                self._log.warning("web_tracking_unknown", reason=str(away))
            await pause(stopping, POLL_S)
