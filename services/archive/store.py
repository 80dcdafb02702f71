"""What the archive keeps in Redis: which batch is being written, how far it is, who writes, what is to be erased.

1. A batch is planned before it is written: the entries behind `position`, up to `plan`. From then on every process that
   writes it writes these entries, and so files of the same names.
2. It is committed once its files are durable: `position` is at its end, and the group's place in the stream with it, so
   that the stream may be trimmed up to there and not further. Entries are never in anybody's hand.
"""

from collections.abc import Sequence
from typing import NamedTuple

from shared.redis import bus, keys, leases
from shared.redis.redis import Client, Script
from shared.words import events

_PLAN = Script.of(__file__, "store_plan")
_COMMIT = Script.of(__file__, "store_commit", kept=True)


class Raw(NamedTuple):
    """An entry as it lies in the stream: its id in two numbers, the message's name, version and bytes."""

    ms: int
    number: int
    name: str
    version: bytes
    body: bytes

    @property
    def stream_id(self) -> str:
        return f"{self.ms}-{self.number}"

    @property
    def entry(self) -> bus.Entry:
        version = int(self.version) if self.version.isdigit() else 0
        return bus.Entry(self.stream_id, self.name, version, self.body)


class Batch(NamedTuple):
    """Of a partition: behind which entry it begins, and its last one."""

    after: str
    last: str


class Unreadable(NamedTuple):
    raw: Raw
    reason: str


class ArchiveStore:
    """Every method raises RedisAway, and may be repeated."""

    def __init__(self, client: Client, partitions: int, owner: str) -> None:
        self._client = client
        self._partitions = partitions
        self._owner = owner

    async def hold(self) -> bool:
        """Whether this process is the one that writes, for `leases.LEASE_MS` from when it was asked."""
        return await leases.hold(self._client, keys.archive_lease(), self._owner)

    async def register(self) -> None:
        """So that the streams keep what is not in the archive. To be repeated well within their retention."""
        for partition in range(self._partitions):
            await bus.register(self._client, keys.events(partition), keys.GROUP_ARCHIVE)

    async def where(self, partition: int) -> Batch:
        """How far it is, and the batch that is planned; `last` is "" if none is."""
        position, plan = await self._client.hmget(keys.archive(partition), ["position", "plan"])
        return Batch((position or b"0-0").decode(), (plan or b"").decode())

    async def plan(self, partition: int, batch: Batch) -> Batch:
        """The batch that is to be written: that one, or what another process has planned or done meanwhile."""
        position, plan = await _PLAN(
            self._client, [keys.archive(partition), keys.trimmed(partition)], [batch.after, batch.last]
        )
        return Batch(position.decode(), plan.decode())

    async def commit(self, partition: int, batch: Batch, unreadable: Sequence[Unreadable] = ()) -> bool:
        """It is in durable files. Whether this call said so first."""
        stream = keys.events(partition)
        args: list[str | bytes | int] = [keys.GROUP_ARCHIVE, batch.after, batch.last]
        for raw, reason in unreadable:
            origin = f"{stream} {raw.stream_id} {keys.GROUP_ARCHIVE}"
            args += [raw.name, raw.version, raw.body, reason[:1000].encode("utf-8", "replace"), origin]
        return bool(await _COMMIT(self._client, [keys.archive(partition), stream, keys.dead(stream)], args))

    async def read(self, partition: int, after: str, last: str, count: int) -> list[Raw]:
        """At most so many entries behind `after`, up to `last` with it ("+": all there are)."""
        found = await self._client.xrange(keys.events(partition), f"({after}", last, count=count)
        return [_raw(number, fields) for number, fields in found]

    async def erase(self, tenant: str, digest: str, from_ms: int) -> None:
        """Files of that address are made anew from then on."""
        await self._client.hsetnx(keys.archive_erasures(), f"{tenant}/{digest}", from_ms)

    async def erasures(self) -> dict[tuple[str, str], int]:
        """Tenant and digest → from when on (ms)."""
        found = await self._client.hgetall(keys.archive_erasures())
        pairs = ((name.decode().partition("/"), int(at)) for name, at in found.items())
        return {(tenant, digest): at for (tenant, _, digest), at in pairs}

    async def erased(self, tenant: str, digests: Sequence[str]) -> None:
        await self._client.hdel(keys.archive_erasures(), *(f"{tenant}/{digest}" for digest in digests))

    async def removals(self) -> list[str]:
        """Tenants whose files are to be removed."""
        return sorted(name.decode() for name in await self._client.hkeys(keys.archive_removals()))

    async def removed(self, tenant: str) -> None:
        await self._client.hdel(keys.archive_removals(), tenant)


def _raw(number: bytes, fields: dict[bytes, bytes]) -> Raw:
    ms, _, rest = number.partition(b"-")
    name = _NAMES.get(fields.get(b"t", b""))
    return Raw(
        int(ms),
        int(rest),
        name if name is not None else fields.get(b"t", b"").decode("utf-8", "replace"),
        fields.get(b"v", b"0"),
        fields.get(b"b", b""),
    )


#: One text for each name, however many entries have it.
_NAMES = {name.encode(): name for name in events.MESSAGES}
