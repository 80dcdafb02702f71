"""After how many soft bounces an address is listed: what a tenant set, or else what the settings say."""

from collections.abc import Callable

import msgspec

from services.suppression.escalation import Rules
from shared.net.remembered import Remembered
from shared.redis import keys
from shared.redis.redis import Client

#: Every process follows a change within this.
CACHE_SECONDS = 10.0
CACHED_TENANTS = 10_000

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Rules)


class RuleBook:
    """`defaults`: of tenants that set nothing; `monotonic` is a clock in seconds. Every method raises RedisAway."""

    def __init__(self, client: Client, defaults: Rules, monotonic: Callable[[], float]) -> None:
        self._client = client
        self._defaults = defaults
        self._known = Remembered[str, Rules](CACHED_TENANTS, monotonic)

    async def of(self, tenant: str) -> Rules:
        """As this process knows them."""
        known = self._known.known(tenant)
        if known is None:
            own = await self.own(tenant)
            known = self._defaults if own is None else own
            self._known.keep(tenant, known, CACHE_SECONDS)
        return known

    async def own(self, tenant: str) -> Rules | None:
        """What the tenant set; None: nothing."""
        packed = await self._client.hget(keys.escalation(), tenant)
        return None if packed is None else _decoder.decode(packed)

    async def put(self, tenant: str, rules: Rules) -> None:
        await self._client.hset(keys.escalation(), tenant, _encoder.encode(rules))
        self._known.forget(tenant)

    async def delete(self, tenant: str) -> bool:
        """The settings hold again; whether the tenant had set something."""
        self._known.forget(tenant)
        return bool(await self._client.hdel(keys.escalation(), tenant))
