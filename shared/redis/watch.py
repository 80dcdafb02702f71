"""Whether Redis takes what a process writes: asked all the time, told by /readyz and by metrics.

A server that answers says little: one that is full, whose disk is full, that lost its replicas or became one itself
still answers whoever reads. So each look is a write that changes nothing (RPUSHX to a list that is never there): it is
refused for every reason for which a real one would be, and neither kept nor written to disk. (Where replicas are to
have what is written, `shared.redis.kept`, a mark that they are to have travels behind it.) It goes to partitions that
lie far apart, and so to every master of a cluster.
"""

import asyncio
import re
from collections.abc import Callable
from typing import Literal

from prometheus_client import Counter, Gauge

from shared.process.lifecycle import pause
from shared.redis import keys
from shared.redis.redis import Client, NotConfirmed, NotLetIn, RedisAway

Why = Literal["full", "read_only", "disk", "replicas", "no_master", "unconfirmed", "not_let_in", "refused", "no_answer"]

#: Between two looks.
LOOK_S = 1.0
#: A look that takes longer than this is one without an answer.
SLOW_S = 2.0
#: Partitions that are asked, at most: they are spread over the slots, and a cluster has fewer masters.
MOST_PARTITIONS = 32

AWAY_SECONDS = Counter(
    "estafette_redis_away_seconds_total", "Time for which Redis took no writes of this process", ["why"]
)
USABLE = Gauge("estafette_redis_usable", "1 while Redis takes what this process writes, else 0")

#: By what the server or the library says, the first that matches; what is left does not answer.
_SAID: tuple[tuple[Why, re.Pattern[str]], ...] = (
    ("full", re.compile("maxmemory")),
    ("read_only", re.compile("read.?only", re.I)),
    ("disk", re.compile("MISCONF")),
    ("replicas", re.compile("NOREPLICAS")),
    ("no_master", re.compile("CLUSTERDOWN|MASTERDOWN|cluster is down|slot not served", re.I)),
)
_WORDS: dict[Why, str] = {
    "full": "redis is full: it takes nothing more (maxmemory)",
    "read_only": "redis is read-only: it is a replica, and no master",
    "disk": "redis cannot write to its disk",
    "replicas": "redis has too few replicas to take anything",
    "unconfirmed": "too few replicas or disks of redis confirm what is written (redis.wait_replicas, redis.wait_aof)",
    "no_master": "redis lacks a master of some of our partitions",
    "no_answer": "redis does not answer",
}


def why(fault: Exception) -> Why:
    """In one word why nothing is taken."""
    if not isinstance(fault, RedisAway):
        return "refused"
    if isinstance(fault, NotLetIn):
        return "not_let_in"
    if isinstance(fault, NotConfirmed):
        return "unconfirmed"
    return next((word for word, said in _SAID if said.search(str(fault))), "no_answer")


class Watch:
    """Of one process. `monotonic` in seconds."""

    def __init__(self, client: Client, partitions: int, monotonic: Callable[[], float]) -> None:
        self._client = client
        self._partitions = range(0, partitions, max(1, partitions // MOST_PARTITIONS))
        self._monotonic = monotonic
        self._reason: str | None = None
        self._why: Why | None = None
        self._looking_since: float | None = None

    async def readiness(self) -> str | None:
        """Why nothing can be written now; None when it can."""
        if self._looking_since is not None and self._monotonic() - self._looking_since > SLOW_S:
            return self._reason or _WORDS["no_answer"]
        return self._reason

    async def run(self, stopping: asyncio.Event) -> None:
        """Looks until `stopping`."""
        since = self._monotonic()
        while not stopping.is_set():
            await self.look()
            now = self._monotonic()
            if self._why is not None:
                AWAY_SECONDS.labels(self._why).inc(now - since)
            since = now
            await pause(stopping, LOOK_S)

    async def look(self) -> None:
        """Once, one partition after the other, to the first that takes nothing."""
        self._looking_since = self._monotonic()
        fault: Exception | None = None
        try:
            for partition in self._partitions:
                await self._client.rpushx(keys.probe(partition), "")
        except Exception as found:  # RedisAway, or whatever a server answers that lets us do nothing
            fault = found
        self._looking_since = None
        self._set(fault)

    def _set(self, fault: Exception | None) -> None:
        self._why = None if fault is None else why(fault)
        words = str(fault) if isinstance(fault, NotLetIn) else f"redis refuses a command: {fault}"
        self._reason = None if self._why is None else _WORDS.get(self._why, words)
        USABLE.set(self._why is None)
