"""Who was erased, as everybody looks it up: by keyed hashes (`shared.words.erased`), in a map of a tenant's.

Most tenants have erased nobody, so which have is looked at once a second, and only of their addresses a hash is made.
An address that was erased gets nothing, by any channel and in any stream.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from shared.process import clock
from shared.redis import keys
from shared.redis.addressed import Addressed
from shared.redis.redis import Client
from shared.redis.suppression import Asked, normalised
from shared.words.erased import ErasureKeys

#: How long it may take until the first erasure of a tenant is known everywhere.
LOOK_MS = 1000
REASON = "erased"


class Erasure(msgspec.Struct, frozen=True, array_like=True):
    """Of an address: when it was asked for, when it was done (ms; 0: not yet), of how many messages it was the
    recipient."""

    asked_ms: int
    done_ms: int = 0
    messages: int = 0


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Erasure)


def encode(erasure: Erasure) -> bytes:
    return _encoder.encode(erasure)


class Erased:
    """Every method raises RedisAway."""

    def __init__(
        self, client: Client, partitions: int, secrets: ErasureKeys, now_ms: Callable[[], int] = clock.now_ms
    ) -> None:
        self._client = client
        self._keys = secrets
        self._map = Addressed(client, partitions, keys.erased)
        self._now_ms = now_ms
        self._tenants: frozenset[str] = frozenset()
        self._look_at_ms = 0

    async def find(self, tenant: str, address: str) -> Erasure | None:
        """What is known of the erasure of a normalised address; None if there was none."""
        (found,) = await self._find([(tenant, address)])
        return found

    async def are_erased(self, asked: Sequence[tuple[str, str]]) -> list[bool]:
        """For each tenant and normalised address. Of a tenant's first one within a second."""
        if (now_ms := self._now_ms()) >= self._look_at_ms:
            self._tenants = frozenset(name.decode() for name in await self._client.smembers(keys.erasing_tenants()))
            self._look_at_ms = now_ms + LOOK_MS
        erased = [False] * len(asked)
        places = [at for at, (tenant, _) in enumerate(asked) if tenant in self._tenants]
        if places:
            for at, found in zip(places, await self._find([asked[at] for at in places]), strict=True):
                erased[at] = found is not None
        return erased

    async def _find(self, asked: Sequence[tuple[str, str]]) -> list[Erasure | None]:
        digests = [self._keys.digests(tenant, address) for tenant, address in asked]
        wanted = [(tenant, digest) for (tenant, _), some in zip(asked, digests, strict=True) for digest in some]
        stored = iter(await self._map.get_many(wanted))
        found: list[Erasure | None] = []
        for some in digests:
            known = [packed for _ in some if (packed := next(stored)) is not None]
            found.append(_decoder.decode(known[0]) if known else None)
        return found


class Suppressions(Protocol):
    async def check(self, asked: Sequence[Asked]) -> list[str | None]: ...


class ErasedToo:
    """A suppression list that stops who was erased as well."""

    def __init__(self, suppressions: Suppressions, erased: Erased) -> None:
        self._suppressions = suppressions
        self._erased = erased

    async def check(self, asked: Sequence[Asked]) -> list[str | None]:
        """For each the reason it is not to be mailed, or None. Raises RedisAway."""
        reasons = await self._suppressions.check(asked)
        open_ = [at for at, reason in enumerate(reasons) if reason is None]
        gone = await self._erased.are_erased([(asked[at].tenant, normalised(asked[at].address)) for at in open_])
        for at, is_gone in zip(open_, gone, strict=True):
            if is_gone:
                reasons[at] = REASON
        return reasons
