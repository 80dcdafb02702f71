"""How the pages of each tenant look (`shared.words.look`), as whoever shows or acts on them reads it."""

from collections.abc import Callable

import msgspec

from shared.net.remembered import Remembered
from shared.redis import keys
from shared.redis.redis import Client
from shared.words.look import NOTHING_CHOSEN, Look

#: How old it may be: a change holds within a second.
LOOK_S = 0.5
#: With a logo in each that is 9 MB.
TENANTS_KEPT = 100

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Look)


class Looks:
    """`monotonic` is a clock in seconds. Every method raises RedisAway."""

    def __init__(self, client: Client, monotonic: Callable[[], float]) -> None:
        self._client = client
        self._known = Remembered[str, Look](TENANTS_KEPT, monotonic)

    async def of(self, tenant: str) -> Look:
        """What the tenant chose; half a second old at most."""
        known = self._known.known(tenant)
        if known is None:
            stored = await self._client.hget(keys.looks(), tenant)
            known = NOTHING_CHOSEN if stored is None else _decoder.decode(stored)
            self._known.keep(tenant, known, LOOK_S)
        return known

    async def put(self, tenant: str, look: Look) -> None:
        await self._client.hset(keys.looks(), tenant, _encoder.encode(look))
        self._known.forget(tenant)

    async def delete(self, tenant: str) -> None:
        await self._client.hdel(keys.looks(), tenant)
        self._known.forget(tenant)
