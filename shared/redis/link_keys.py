"""Generations of tenants' link keys, as an operator changes them, and as trackers and relays know them.

What is kept are numbers, never a key: which generation signs a tenant's links, and which are revoked. A reader asks
each second whether anything has changed, by a counter, and reads all of it when something has: a revocation holds
within two seconds, and no click asks for it. While Redis does not answer a reader goes by what it knows; one that has
never reached it knows of no revocation, so that links work.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from typing import NamedTuple

from prometheus_client import Gauge

from shared.process import logs
from shared.process.lifecycle import pause
from shared.redis import keys
from shared.redis.redis import Client, RedisAway, Script
from shared.words.generations import COMMON, FIRST, MAX_GENERATION, Generations, Known

CHANGES = Gauge("estafette_link_keys_changes", "Changes of tenants' link keys that this process has seen")

LOOK_S = 1.0

_VERSION = "version"
_CURRENT, _BEGUN, _REVOKED = "current", "begun", "revoked"

_ROTATE = Script.of(__file__, "link_keys_rotate", kept=True)
_REVOKE = Script.of(__file__, "link_keys_revoke", kept=True)
_log = logs.get_logger()


class NoneLeft(Exception):
    """A token has no room for another generation."""


class StillSigns(Exception):
    """New links are signed with that generation."""


class Generation(NamedTuple):
    """One generation of a tenant: since when it signs (ms; 0: from the beginning), since when it is revoked (0: it is
    not), and whether it signs now. `number` 0 are the links of before tenants had keys of their own."""

    number: int
    begun_at: int
    revoked_at: int
    signs: bool


class LinkKeys:
    """The operator's side. Every method raises RedisAway."""

    def __init__(self, client: Client, now_ms: Callable[[], int]) -> None:
        self._client = client
        self._now_ms = now_ms

    async def of(self, tenant: str) -> list[Generation]:
        """All generations that there have been, the one that signs last."""
        stored = await self._client.hgetall(keys.link_keys())

        def at(*name: object) -> int:
            return int(stored.get("/".join(map(str, (tenant, *name))).encode(), 0))

        current = at(_CURRENT) or FIRST
        return [
            Generation(number, at(_BEGUN, number), at(_REVOKED, number), number == current)
            for number in range(COMMON, current + 1)
        ]

    async def rotate(self, tenant: str) -> int:
        """The generation that signs from now on. NoneLeft."""
        begun = int(await _ROTATE(self._client, [keys.link_keys()], [f"{tenant}/", self._now_ms(), MAX_GENERATION]))
        if not begun:
            raise NoneLeft
        return begun

    async def revoke(self, tenant: str, generation: int) -> None:
        """Its links lead nowhere from now on; again changes nothing. StillSigns; LookupError: there is none yet."""
        await self._change(tenant, generation, self._now_ms())

    async def honour(self, tenant: str, generation: int) -> None:
        """A revocation is taken back. LookupError: there is none yet."""
        await self._change(tenant, generation, 0)

    async def _change(self, tenant: str, generation: int, revoked_ms: int) -> None:
        found = await _REVOKE(self._client, [keys.link_keys()], [f"{tenant}/", generation, revoked_ms])
        if found == b"unknown":
            raise LookupError(generation)
        if found == b"signs":
            raise StillSigns


class KnownLinkKeys:
    """A reader's: what is in `generations` is kept fresh by `run`."""

    def __init__(self, client: Client, generations: Generations) -> None:
        self._client = client
        self._generations = generations
        self._version: bytes | None = None

    async def run(self, stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            try:
                await self.look()
            except RedisAway as away:
                _log.debug("link_keys_unknown", reason=str(away))
            await pause(stopping, LOOK_S)

    async def look(self) -> None:
        """RedisAway."""
        version = await self._client.hget(keys.link_keys(), _VERSION)
        if version == self._version:
            return
        current, revoked = defaultdict[str, int](lambda: FIRST), defaultdict[str, set[int]](set)
        for field, value in (await self._client.hgetall(keys.link_keys())).items():
            tenant, _, what = field.decode().partition("/")
            if what == _CURRENT:
                current[tenant] = int(value)
            elif what.startswith(f"{_REVOKED}/"):
                revoked[tenant].add(int(what.partition("/")[2]))
        self._generations.learn(
            {tenant: Known(current[tenant], frozenset(revoked[tenant])) for tenant in current.keys() | revoked.keys()}
        )
        self._version = version
        CHANGES.set(int(version or 0))
