"""Ends are recorded within milliseconds: facts first, then leases, many at a time, for as long as it takes.

The order is what makes a crash harmless: when the fact is stored and the lease is not yet ended, whoever takes the
message next finds its end on record and only ends the lease.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, TypeVar

import structlog
from prometheus_client import Counter, Gauge

from services.relay.attempts import count_end
from services.relay.message.mail import End
from shared.process.tracing import Tracer
from shared.redis.ready import Recorded
from shared.redis.redis import RedisAway
from shared.words import events, ids

#: Ends wait so long for others, so that one round trip records many; the promise is 10 ms.
GATHER_S = 0.002
#: What takes longer to record holds back the mails that have not begun: each would be one more that is sent twice if
#: this process died now.
BEHIND_S = 0.1
#: Pauses between tries while Redis is away: the first, and the longest.
FIRST_PAUSE_S = 0.02
MAX_PAUSE_S = 0.5

ENDS = Counter("estafette_relay_attempts_total", "Messages that left the hands of the relay, by fact", ["fact"])
UNRECORDED = Gauge("estafette_relay_unrecorded_messages", "Ends that are known but not yet recorded")
FAILED = Counter("estafette_relay_failed_messages_total", "Messages that the engine could not send, by why", ["reason"])
LOST = Counter("estafette_relay_lost_leases_total", "Ends recorded after another relay had taken the message over")
#: Of a fact, in its line in the log. The address is in the event.
_LOGGED = (
    "tenant", "job", "site", "host", "source", "attempt", "reason", "kind", "reply", "tls", "tls_policy",
    "retry_at", "duration_ms",
)  # fmt: skip
#: Of a fact, on the span of its attempt.
_TRACED = ("attempt", "site", "host", "source", "reason", "kind", "tls_policy")
T = TypeVar("T")
_ends = {
    name: ENDS.labels(name)
    for name in ("Delivered", "Deferred", "Bounced", "Expired", "Suppressed", "Failed", "Cancelled")
}


class Publisher(Protocol):
    async def publish(self, facts: Sequence[events.Fact], patience_s: float = 2.0, batch: str = "") -> None: ...


class Queues(Protocol):
    async def record(self, partition: int, relay: str, ends: Sequence[Recorded]) -> int: ...


class Unsent(Protocol):
    async def give_back(self, ends: Sequence[End]) -> None:
        """What of it was not sent counts for nobody."""


class Recorder:
    """Takes ends with `add`; calls `done` with those that are recorded."""

    def __init__(
        self,
        publisher: Publisher,
        queues: Queues,
        relay: str,
        done: Callable[[Sequence[End]], None],
        tracer: Tracer | None = None,
        unsent: Unsent | None = None,
    ) -> None:
        self._tracer = tracer
        self._unsent = unsent
        self._publisher = publisher
        self._queues = queues
        self._relay = relay
        self._done = done
        self._batches = 0
        self._since: float | None = None
        self._waiting: list[End] = []
        self._arrived = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._log = structlog.get_logger("relay")

    def add(self, end: End) -> None:
        self._waiting.append(end)
        self._arrived.set()
        self._idle.clear()

    def is_behind(self) -> bool:
        """Ends have waited too long to be recorded: Redis is away, or its disk is full or slow."""
        return self._since is not None and asyncio.get_running_loop().time() - self._since > BEHIND_S

    async def flushed(self) -> None:
        """Returns when nothing waits to be recorded."""
        await self._idle.wait()

    async def run(self) -> None:
        """For as long as the process lives; cancelled once `flushed` has returned."""
        while True:
            await self._arrived.wait()
            await asyncio.sleep(GATHER_S)
            self._arrived.clear()
            batch, self._waiting = self._waiting, []
            UNRECORDED.set(len(batch))
            self._since = asyncio.get_running_loop().time()
            await self._record(batch)
            self._since = None
            UNRECORDED.set(0)
            self._done(batch)
            if not self._waiting:
                self._idle.set()

    async def _record(self, batch: Sequence[End]) -> None:
        facts = [end.fact for end in batch if end.fact is not None]
        if (unsent := self._unsent) is not None:
            await self._until_done(lambda: unsent.give_back(batch))
        self._batches += 1
        name = f"{self._relay}.{self._batches}"
        await self._until_done(lambda: self._publisher.publish(facts, batch=name))
        if self._tracer is not None:
            for end in batch:
                _trace(self._tracer, end)
        is_logged = self._log.is_enabled_for(logging.INFO)
        for fact in facts:
            _ends[type(fact).__name__].inc()
            if isinstance(fact, events.Failed):  # an operator has to see it
                FAILED.labels(fact.reason).inc()
                self._log.error("failed", **_said(fact), detail=fact.detail)
            elif is_logged:
                self._log.info(type(fact).__name__.lower(), **_said(fact))
        by_partition: dict[int, list[Recorded]] = defaultdict(list)
        for end in batch:
            count_end(end)
            by_partition[end.mail.lease.partition].append(end.recorded)
        await asyncio.gather(*(self._end_leases(partition, ends) for partition, ends in by_partition.items()))

    async def _end_leases(self, partition: int, ends: Sequence[Recorded]) -> None:
        lost = await self._until_done(lambda: self._queues.record(partition, self._relay, ends))
        if lost:
            LOST.inc(lost)

    async def _until_done(self, call: Callable[[], Awaitable[T]]) -> T:
        """However it fails: an end that is known and not recorded is a mail sent twice."""
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                return await call()
            except RedisAway as away:
                self._log.warning("cannot_record", reason=str(away), waiting=len(self._waiting))
            except Exception:  # a server that refuses (out of memory, no disk), or a bug of ours
                self._log.exception("cannot_record", waiting=len(self._waiting))
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, MAX_PAUSE_S)


def _trace(tracer: Tracer, end: End) -> None:
    """The attempt and the record of its fact, which is stored now."""
    ready, fact = end.mail.ready, end.fact
    if ready.trace is None or fact is None:
        return
    word = type(fact).__name__
    about = {"message": ids.message_id(ready.job, ready.ordinal), "job": ready.job, "tenant": ready.tenant}
    attempt = tracer.begin("attempt", about, ready.trace, end.mail.began_ms or fact.occurred_at)
    record = tracer.begin("record", about | {"fact": word}, attempt.context, fact.occurred_at)
    found = {name: getattr(fact, name, "") for name in _TRACED}
    attempt.end(found | {"fact": word}, fact.occurred_at, failed="" if word == "Delivered" else word)
    record.end()


def _said(fact: events.Fact) -> dict[str, Any]:
    """The fields of a fact for its line in the log: all that tell what happened, and to which message; not to whom."""
    named = {"message": ids.message_id(fact.job, fact.ordinal)} if fact.ordinal is not None else {}
    return named | {name: value for name in _LOGGED if (value := getattr(fact, name, None)) not in (None, "")}
