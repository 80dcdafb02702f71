"""What is moved: mail for a site that leaves by another pool of source addresses than usual, on an operator's word.

A move is of a site, or of a tenant's mail for it; relays read all of them twice a second, and what they have not in
hand yet leaves by the other pool. They tell which pools they know, so that nothing is moved to one that is none.
"""

from collections.abc import Collection

import msgspec

from shared.redis import keys
from shared.redis.redis import Client


class Move(msgspec.Struct, frozen=True, array_like=True):
    """`until_ms`: when the usual pool has it again; 0: once somebody takes it back."""

    pool: str
    since_ms: int
    who: str = ""
    why: str = ""
    until_ms: int = 0


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Move)


def name_of(site: str, tenant: str = "") -> str:
    """The name of a move."""
    return f"{site}\n{tenant}" if tenant else site


class MoveList:
    """Every method is one round trip and raises RedisAway."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def all(self) -> dict[str, Move]:
        """By name."""
        found = await self._client.hgetall(keys.moves())
        return {name.decode(): _decoder.decode(packed) for name, packed in found.items()}

    async def add(self, name: str, move: Move) -> None:
        await self._client.hset(keys.moves(), name, _encoder.encode(move))

    async def remove(self, name: str) -> bool:
        """Whether there was one."""
        return bool(await self._client.hdel(keys.moves(), name))

    async def know_pools(self, pools: Collection[str]) -> None:
        """A relay has begun that knows these."""
        for pool in pools:
            await self._client.hset(keys.pools(), pool, 1)

    async def pools(self) -> set[str]:
        """Those that any relay knew."""
        return {name.decode() for name in await self._client.hkeys(keys.pools())}
