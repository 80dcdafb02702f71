"""What is cancelled: marks that queueing and relays obey, until everything they are about has its end.

A mark is about a job, `job:<id>`; about the bulk of a tenant, `tenant:<name>`; or about what waits at a site,
`site:<name>`, all of it or a tenant's (`site:<name>\\n<tenant>`). It speaks of jobs that were made before it: what is
sent afterwards goes on. Relays look for what it is about wherever that waits (`ready.ReadyQueues.take_cancelled`), and
end what they have in hand; queueing ends what it has not queued yet. Each message ends once, as always.

All marks are in one hash, which relays and queueing read twice a second.
"""

import asyncio
from collections.abc import Mapping
from typing import Literal, Protocol

import msgspec
import structlog

from shared.process.lifecycle import pause
from shared.redis import keys, stops
from shared.redis.redis import Client, RedisAway
from shared.words import ids

#: Twice within a second, as stops are.
POLL_S = 0.5


class Cancel(msgspec.Struct, frozen=True, array_like=True):
    """`by` is `tenant` or `operator`; `how` is what each message ends as. `tenant` is "" for a whole site."""

    tenant: str
    since_ms: int
    by: str
    why: str = ""
    how: Literal["cancelled", "bounced"] = "cancelled"

    def is_about(self, job: str) -> bool:
        """Whether the job was made before it."""
        return ids.job_created_ms(job) <= self.since_ms


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Cancel)


def of_job(job: str) -> str:
    """The name of a job's mark."""
    return f"job:{job}"


def of_tenant(tenant: str) -> str:
    """The name of the mark of a tenant's bulk."""
    return f"tenant:{tenant}"


def of_site(site: str, tenant: str = "") -> str:
    """The name of the mark of what waits at a site."""
    return f"site:{site}\n{tenant}" if tenant else f"site:{site}"


def of_all(run: str, *, bulk: bool) -> str:
    """The name under which everything is meant, or all bulk: of one look that is made at once, and never a mark that
    others obey."""
    return f"{'bulk' if bulk else 'all'}:{run}"


def about(name: str) -> tuple[str, str]:
    """What a mark is about: `job`, `tenant`, `site`, `all` or `bulk`, and its id or name."""
    kind, _, rest = name.partition(":")
    return kind, rest.partition("\n")[0]


class CancelList:
    """Every method is one round trip and raises RedisAway."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def all(self) -> dict[str, Cancel]:
        """By name."""
        found = await self._client.hgetall(keys.cancels())
        return {name.decode(): _decoder.decode(packed) for name, packed in found.items()}

    async def add(self, name: str, cancel: Cancel) -> None:
        """A later one takes the place of an earlier: it is about more."""
        await self._client.hset(keys.cancels(), name, _encoder.encode(cancel))

    async def has(self, name: str) -> bool:
        return await self._client.hget(keys.cancels(), name) is not None

    async def remove(self, name: str, seen: Cancel) -> bool:
        """Unless there is a later one."""
        packed = await self._client.hget(keys.cancels(), name)
        if packed is None or packed != _encoder.encode(seen):
            return False
        return bool(await self._client.hdel(keys.cancels(), name))


class Reader(Protocol):
    async def all(self) -> Mapping[str, Cancel]: ...


class Cancels:
    """A process's view of the marks, half a second old."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self.marks: Mapping[str, Cancel] = {}
        self._log = structlog.get_logger("cancels")

    def of(self, job: str, tenant: str, stream: str, site: str = "") -> Cancel | None:
        """By what a message of this job is cancelled, at this site ("": before it has one); None if it is not."""
        if not self.marks:
            return None
        found = self.marks.get(of_job(job))
        if found is None and stream == stops.STOPPED_STREAM:
            found = self._before(of_tenant(tenant), job)
        if found is None and site:
            found = self._before(of_site(site), job) or self._before(of_site(site, tenant), job)
        return found

    def _before(self, name: str, job: str) -> Cancel | None:
        found = self.marks.get(name)
        return found if found is not None and found.is_about(job) else None

    async def load(self) -> None:
        """Raises RedisAway."""
        self.marks = await self._reader.all()

    async def run(self, closed: asyncio.Event) -> None:
        """Keeps the view fresh until `closed`."""
        while not closed.is_set():
            try:
                await self.load()
            except RedisAway as away:
                self._log.warning("cancels_unknown", reason=str(away))
            await pause(closed, POLL_S)
