"""Who withdrew their consent to be tracked: told by whoever is told, and known to every tracker within a second.

A link of a mail names no address, and a click waits for no look-up. So what is told is the mark that the links of a
person's mails carry (`shared.words.tokens`), and each tracker keeps the marks of all who withdrew: about 150 bytes
each. It reads them all when it begins, and follows what changes after that. A relay does the same: what was queued
before somebody withdrew leaves without pixel and with plain links.

    hash     mark and tenant → ms at which they withdrew; or, negative, at which they gave their consent again
    stream   the same, as it changes; trackers and relays look four times a second

What is said later holds, in whatever order it is told, and telling it twice changes nothing. While Redis does not
answer a tracker goes by what it knows, and by what was told to itself.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import structlog
from prometheus_client import Gauge

from shared.process.lifecycle import pause
from shared.redis import keys
from shared.redis.redis import Client, RedisAway, Script, answer
from shared.words.tokens import MARK_BYTES

WITHDRAWN = Gauge("estafette_untracked_marks", "Marks of recipients who withdrew their consent to be tracked, as known")

#: Four looks in the second within which a withdrawal has to hold.
POLL_S = 0.25
#: Changes that are kept for trackers to follow. One that has missed more reads everything anew.
CHANGES_KEPT = 10_000
#: Read at a time, of either.
_SCAN, _CHANGES = 1_000, 1_000

_TELL = Script.of(__file__, "untracked_tell", kept=True)


class Told(NamedTuple):
    """What somebody of a tenant said of being tracked, at `at_ms`; by one of their marks."""

    tenant: str
    mark: bytes
    is_withdrawn: bool
    at_ms: int


class UntrackedList:
    """The side of whoever is told. Raises RedisAway."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def tell(self, told: Sequence[Told]) -> None:
        """One round trip for up to some hundreds."""
        if not told:
            return
        args: list[str | bytes | int] = [CHANGES_KEPT]
        for one in told:
            args += [one.mark + one.tenant.encode(), one.at_ms if one.is_withdrawn else -one.at_ms]
        await _TELL(self._client, [keys.untracked(), keys.untracked_changes()], args)

    async def since_ms(self, tenant: str, marks: Sequence[bytes]) -> int:
        """When somebody with one of these marks withdrew; 0: never, or they gave their consent again."""
        pipeline = self._client.pipeline(transaction=False)
        for mark in marks:
            pipeline.execute_command("HGET", keys.untracked(), mark + tenant.encode())
        return max([0, *(int(at_ms or 0) for at_ms in await answer(pipeline.execute()))])


class Untracked:
    """The side of trackers and relays. `is_known` once everything was read."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._tenants: dict[str, dict[bytes, int]] = {}
        self._last = "0-0"
        self.is_known = False
        self._log = structlog.get_logger("untracked")

    def has_any(self, tenant: str) -> bool:
        """Whether anybody of the tenant ever withdrew: if not, nobody has to be looked up."""
        return tenant in self._tenants

    def is_withdrawn(self, tenant: str, marks: Iterable[bytes]) -> bool:
        """Whether nothing may be recorded about who has one of these marks."""
        known = self._tenants.get(tenant)
        return known is not None and any(known.get(mark, 0) > 0 for mark in marks)

    def hear(self, told: Iterable[Told]) -> None:
        """What was told to this process itself, and may not have come to Redis yet."""
        for one in told:
            self._note(one.mark + one.tenant.encode(), one.at_ms if one.is_withdrawn else -one.at_ms)
        self._count()

    async def load(self) -> None:
        """Reads everything anew, and from there on follows. Raises RedisAway."""
        newest = await self._client.xrevrange(keys.untracked_changes(), count=1)
        cursor, begun = 0, False
        while cursor or not begun:
            begun = True
            cursor, found = await self._client.hscan(keys.untracked(), cursor, count=_SCAN)
            for field, value in found.items():
                self._note(field, int(value))
        self._last = newest[0][0].decode() if newest else "0-0"
        self.is_known = True
        self._count()

    async def follow(self) -> None:
        """Reads what has changed. Raises RedisAway."""
        while True:
            found = await self._client.xrange(keys.untracked_changes(), f"({self._last}", "+", count=_CHANGES)
            if not found:
                return
            oldest = await self._client.xrange(keys.untracked_changes(), "-", "+", count=1)
            if oldest and oldest[0][0] == found[0][0] and self._last != "0-0":
                # Nothing that it knows is left: more may have come and gone in between.
                await self.load()
                return
            for number, fields in found:
                self._note(fields[b"who"], int(fields[b"at"]))
                self._last = number.decode()
            self._count()

    async def run(self, stopping: asyncio.Event) -> None:
        """Keeps the view fresh until `stopping`."""
        while not stopping.is_set():
            try:
                await (self.follow() if self.is_known else self.load())
            except RedisAway as away:
                self._log.warning("untracked_unknown", reason=str(away))
            await pause(stopping, POLL_S)

    def _note(self, who: bytes, at_ms: int) -> None:
        mark, tenant = who[:MARK_BYTES], who[MARK_BYTES:].decode()
        known = self._tenants.setdefault(tenant, {})
        if abs(at_ms) >= abs(known.get(mark, 0)):
            known[mark] = at_ms

    def _count(self) -> None:
        WITHDRAWN.set(sum(map(len, self._tenants.values())))
