"""Writes that count only when replicas have them, or disks: WAIT and WAITAOF, in the round trip of the write itself.

A master answers before its replicas know, so a fail-over forgets what it answered last. Where settings ask for it
(`redis.wait_replicas`, `redis.wait_aof`) whatever a promise rests on is answered only when so many replicas have it:
scripts that say so (`Script.of(…, kept=True)`), and the commands of `WRITES`. Everything else is as quick as before,
and so is all of it where no setting asks.

Theory of operation. Both commands count what was written before over the same connection, and a repeat may write
nothing: what it would write is there, brought by a connection that broke before anything was confirmed. So three
commands go together: the write, a small one that always counts (`keys.kept`, in the same slot, behind all that this
master wrote before), and WAIT. One round trip, and a master that fails over in between breaks the connection: nobody
takes the word of its successor for it. Many writes of a moment wait side by side for the same answer of a replica.

Where too few confirm in time the write may be there or not, as where a server is away: it is told as `RedisAway`, and
repeated by whoever repeats. With it nothing is taken back.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import hiredis
from prometheus_client import Counter
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ResponseError

from shared.redis import keys

#: Commands whose writes are kept. What has no promise on it (acknowledgements, trimming) may be done again. RPUSHX is
#: how it is seen whether anything can be written at all (`shared.redis.watch`).
WRITES = frozenset(("SET", "HSET", "HSETNX", "HDEL", "DEL", "ZADD", "ZREM", "SREM", "XADD", "XDEL", "RPUSHX"))
#: The first that have WAITAOF.
WAITAOF_SINCE = (7, 2)

UNCONFIRMED = Counter(
    "estafette_redis_unconfirmed_total", "Writes that too few replicas or disks had confirmed in redis.wait_ms"
)


class Unconfirmed(ResponseError):
    """Fewer have the write than settings ask for. It may be there or not."""


class Text(str):
    """Of a script, or its digest: what it writes is to be kept."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Wants:
    """Who is to have a write before it counts: so many replicas, and, with `disk`, the disk of each and the master's.
    `ms`: how long that is waited for."""

    replicas: int = 0
    disk: bool = False
    ms: int = 1000

    @property
    def command(self) -> tuple[str | int, ...]:
        return ("WAITAOF", 1, self.replicas, self.ms) if self.disk else ("WAIT", self.replicas, self.ms)

    def lacking(self, said: object) -> str | None:
        """What the answer of `command` lacks, in words; None if nothing."""
        if isinstance(said, Exception):
            return f"{self.command[0]}: {said}"
        numbers: Sequence[int] = said if isinstance(said, list) else [1, int(str(said))]
        if self.disk and numbers[0] < 1:
            return f"the disk of Redis did not confirm a write in {self.ms} ms"
        if numbers[1] < self.replicas:
            where = "on their disks" if self.disk else "received"
            return f"{numbers[1]} of {self.replicas} replicas have {where} what was written, after {self.ms} ms"
        return None


class Behind(str):
    """The name of a command, with what travels behind it (`tail`) and what is expected of that."""

    __slots__ = ("tail", "wants")
    tail: bytes
    wants: Wants


@lru_cache(4096)
def _behind(name: str, tag: str, wants: Wants) -> Behind:
    found = Behind(name)
    behind_it: list[Any] = [("SET", keys.kept(tag), ""), wants.command]
    found.tail = b"".join(map(hiredis.pack_command, behind_it))
    found.wants = wants
    return found


def behind(name: str, key: str, wants: Wants) -> Behind:
    """The command, as one whose write on this key's master is waited for."""
    return _behind(name, key[key.index("{") + 1 : key.index("}")], wants)


class _Packed(list[bytes]):
    """A command as bytes, with its tail."""

    def __init__(self, parts: Sequence[bytes], of: Behind) -> None:
        super().__init__((*parts, of.tail))
        self.wants = of.wants


class _Confirming(AbstractConnection):
    """Sends tails, and reads what is answered to them. Unconfirmed instead of the answer where something is lacking."""

    _wants: Wants | None = None

    def pack_command(self, *args: Any) -> Any:
        packed = super().pack_command(*args)
        return _Packed(packed, args[0]) if isinstance(args[0], Behind) else packed

    async def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        await super().send_packed_command(command, check_health)
        # Behind it: a connection that is made only now says other things first.
        self._wants = command.wants if isinstance(command, _Packed) else None

    async def read_response(self, *args: Any, **options: Any) -> Any:
        wants, self._wants = self._wants, None
        if wants is None:
            return await super().read_response(*args, **options)
        said: list[Any] = []
        for _ in range(3):
            try:
                said.append(await super().read_response(*args, **options))
            except ResponseError as refused:
                if not self.is_connected:
                    raise
                said.append(refused)
        answer, mark, waited = said
        if isinstance(answer, Exception):
            raise answer
        lacking = str(mark) if isinstance(mark, Exception) else wants.lacking(waited)
        if lacking is not None:
            UNCONFIRMED.inc()
            raise Unconfirmed(lacking)
        return answer


@cache
def confirming(kind: type) -> type:
    """Connections of this kind that know tails."""
    return type(f"Confirming{kind.__name__}", (_Confirming, kind), {})


def too_old(version: str) -> bool:
    """Whether a server of this version (of Redis, as Valkey tells one, too) has no WAITAOF."""
    parts = version.split(".")
    return tuple(int(part) if part.isdigit() else 0 for part in parts[:2]) < WAITAOF_SINCE
