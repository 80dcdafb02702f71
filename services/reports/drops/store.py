"""Drops, and how far each is, in Redis.

1. A file is whole beside its place before `placing` names it. Only then is it renamed.
2. `next` moves on once it was.

So whoever comes after a process that died knows what to do: a file that `placing` names, and that is still beside its
place, is renamed; one that is not was, even if its receiver took it since. What `placing` does not name is written
anew.
"""

from collections.abc import Mapping

import msgspec

from services.reports.drops.drop import Drop, State
from shared.redis import keys, leases
from shared.redis.redis import Client, Script

_PUT = Script.of(__file__, "store_put", kept=True)
_STEP = Script.of(__file__, "store_step", kept=True)
_ASK = Script.of(__file__, "store_ask", kept=True)
_encoder = msgspec.msgpack.Encoder()
_drop = msgspec.msgpack.Decoder(Drop)


class TooMany(Exception):
    """The tenant has as many drops as it may."""


class Store:
    """Every method raises RedisAway, and may be repeated. `owner` names the process that writes."""

    def __init__(self, client: Client, owner: str = "") -> None:
        self._client = client
        self._owner = owner

    async def hold(self) -> bool:
        """Whether this process is the one that writes, for `leases.LEASE_MS` from when it was asked."""
        return await leases.hold(self._client, keys.drops_lease(), self._owner)

    async def versions(self) -> dict[str, bytes]:
        """Of the drops of each tenant that ever had one."""
        found = await self._client.hgetall(keys.drop_versions())
        return {tenant.decode(): version for tenant, version in found.items()}

    async def of_tenant(self, tenant: str) -> list[Drop]:
        """By their names."""
        found = await self._client.hvals(keys.drops(tenant))
        return sorted((_drop.decode(one) for one in found), key=lambda one: one.name)

    async def get(self, tenant: str, name: str) -> Drop | None:
        found = await self._client.hget(keys.drops(tenant), name)
        return None if found is None else _drop.decode(found)

    async def state(self, drop: Drop) -> State:
        found = await self._client.hgetall(keys.drop_state(drop.tenant, drop.name))
        return msgspec.convert({name.decode(): value.decode() for name, value in found.items()}, State, strict=False)

    async def put(self, drop: Drop, version: str, next_ms: int, most: int, *, moved: bool) -> bool:
        """Whether it is new; then its first period begins at `next_ms`. `version` is another one each time; `moved`: it
        goes elsewhere from now on. TooMany."""
        names = [keys.drops(drop.tenant), keys.drop_versions(), keys.drop_state(drop.tenant, drop.name)]
        args: list[str | bytes | int] = [drop.name, _encoder.encode(drop), drop.tenant, version, next_ms, most]
        found = await _PUT(self._client, names, [*args, "1" if moved else ""])
        if found < 0:
            raise TooMany
        return bool(found)

    async def remove(self, drop: Drop, version: str) -> None:
        await self._client.hdel(keys.drops(drop.tenant), drop.name)
        await self._client.hset(keys.drop_versions(), drop.tenant, version)
        await self._client.delete(keys.drop_state(drop.tenant, drop.name))

    async def ask(self, drop: Drop, version: str, again_ms: int) -> bool:
        """To be written now; whether there is such a drop. -1: what is due; else the period of that moment, anyway."""
        names = [keys.drops(drop.tenant), keys.drop_versions(), keys.drop_state(drop.tenant, drop.name)]
        return bool(await _ASK(self._client, names, [drop.name, drop.tenant, version, again_ms]))

    async def step(self, drop: Drop, field: str, value: int | str, changes: Mapping[str, int | str]) -> bool:
        """Writes that down, if `field` of the state is still that; False if not, or if another process writes."""
        names = [keys.drops_lease(), keys.drops(drop.tenant), keys.drop_state(drop.tenant, drop.name)]
        pairs = [one for pair in changes.items() for one in pair]
        return bool(await _STEP(self._client, names, [self._owner, drop.name, field, value, *pairs]))
