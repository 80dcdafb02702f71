"""Makes facts durable: in batches on the bus or, while Redis does not answer, in the local spool, that is replayed.

Theory of operation:

- What requests bring in one turn of the loop is a batch, and up to `IN_FLIGHT` of them are being stored at the same
  time: a click does not wait for the fsync of the one before. Beside others a batch gathers for `GATHER_S` first, and
  while so many are under way, what comes is the next one: so batches grow with the load. Each request waits for its own
  fact only.
- A batch that the bus has not stored within `spool_after_ms` goes to the spool, and from then on Redis counts as away:
  the following batches go to the spool at once. Group commit comes by itself: one fsync a batch.
- The replayer publishes what is in the spool, file by file, each batch under the name it had at first, until it
  succeeds. The first of a file goes alone: that is also how we learn that Redis is back. From its first success on
  batches go to the bus again, while the rest of the spool is replayed beside them, `REPLAYED_AT_ONCE` at a time: a
  short outage leaves thousands of small ones. One who has nothing left looks every `LOOK_ROUND_S` whether
  another tracker of the same folder has died, and replays what that one left.
- If the spool refuses too (full, or a broken disk), the bus is tried whatever its state. If both refuse, the requests
  are told so (NotRecorded) and nobody is answered as if it were recorded.

Nothing is stored about somebody who withdrew their consent to be tracked. Who that is, trackers learn from Redis
(`shared.redis.untracked`); a process that has not learnt it yet, because Redis has been away since it began, stores in
the spool alone. What is replayed is looked at once more.

Exactly how often a fact arrives: never less than once. A batch that was given up after `spool_after_ms` may be stored
by Redis later, and is replayed: its name tells the bus that it is the same, for `bus.REMEMBER_MS`. After that, and for
a file that a crash made us read twice, a fact may arrive a second time, with the same event_id. Readers that count
therefore ignore an event_id that they know.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, TypeVar

from prometheus_client import Counter, Gauge, Histogram

from services.tracking import frames
from services.tracking.frames import Batch
from services.tracking.spool import Spool, SpoolRefused
from services.tracking.tracking import NotRecorded
from shared.process import logs
from shared.process.lifecycle import cancelled
from shared.redis.bus import BusUnavailable
from shared.words.events import Fact

RECORD_SECONDS = Histogram(
    "estafette_tracking_record_seconds",
    "Time until a batch of facts was durable",
    ["where"],
    buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1),
)
BATCH_FACTS = Histogram(
    "estafette_tracking_batch_facts", "Facts in a batch", buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500)
)
REPLAYED = Counter("estafette_tracking_replayed_facts_total", "Facts published from the spool")
REDIS_AWAY = Gauge("estafette_tracking_redis_away", "1 while facts go to the spool because Redis does not answer")
_in_redis = RECORD_SECONDS.labels("redis")
_in_spool = RECORD_SECONDS.labels("spool")

#: As many as the bus stores in one script call.
MAX_BATCH = 500
#: Batches that are being stored at the same time. Redis stores one while another is on its way; more would only be
#: smaller.
IN_FLIGHT = 3
#: A batch costs as much as some ten of its facts: beside others it waits for a few more. The least that a timer knows.
GATHER_S = 0.001
#: Between two attempts to replay: at first, and at most. The latter is how late a recovery may be noticed.
FIRST_PAUSE_S = 0.05
MAX_PAUSE_S = 1.0
#: Of several trackers that share a folder one may die and not come back: how late that is noticed. A look is one
#: listing of the folder.
LOOK_ROUND_S = 5.0
#: Of the batches of a file, once the first is stored: one at a time would take longer than Redis was away. More would
#: be in the way of the clicks that come meanwhile.
REPLAYED_AT_ONCE = 4
#: A replayed batch is waited for longer than the client's own time-out: a slow Redis is not asked over and over.
REPLAY_TIMEOUT_S = 10.0

#: A fact, the mark of whom it is about, and who waits for it to be durable.
_Waiting = tuple[Fact, bytes, Callable[[bool], None]]
_T = TypeVar("_T")
_log = logs.get_logger()


class Publisher(Protocol):
    async def publish(self, facts: Sequence[Fact], patience_s: float, batch: str) -> None:
        """Returns when the facts are stored; once, however often it is called under one batch name. BusUnavailable."""


class View(Protocol):
    """Who withdrew their consent to be tracked, as far as this process knows."""

    @property
    def is_known(self) -> bool: ...

    def is_withdrawn(self, tenant: str, marks: Iterable[bytes]) -> bool: ...


class Recorder:
    """See the module. `name` is unlike that of any process before or beside it; at most `max_waiting` facts wait."""

    def __init__(
        self, publisher: Publisher, spool: Spool, view: View, name: str, *, spool_after_ms: int, max_waiting: int
    ) -> None:
        self._view = view
        self._publisher = publisher
        self._spool = spool
        self._name = name
        self._spool_after_s = spool_after_ms / 1000
        self._max_waiting = max_waiting
        self._waiting: deque[_Waiting] = deque()
        self._is_due = False
        self._in_flight: set[asyncio.Task[None]] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._spooled = asyncio.Event()
        self._open = False
        self._redis_away = False
        self._batches = 0
        # One thread: the spool's calls follow each other, and the loop never waits for the disk.
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="spool")
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Opens the spool and begins. OSError if the spool's folder cannot be used."""
        await self._on_disk(self._spool.open)
        self._open = True
        self._spooled.set()  # there may be something to take over
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._replay_forever())]

    async def close(self) -> None:
        """Takes nothing more, stores what waits, and leaves the spool to the next process. Again: does nothing."""
        self._open = False
        await self._idle.wait()
        tasks, self._tasks = self._tasks, []
        if tasks:
            await cancelled(tasks)
            await self._on_disk(self._spool.close)
        self._disk.shutdown()

    async def record(self, fact: Fact, mark: bytes = b"") -> None:
        """Returns when the fact is durable. NotRecorded if it cannot be made so, or too many wait already. `mark`: of
        whom it is about, where that is to be forgotten if they withdraw."""
        durable: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.hand_in(fact, mark, partial(_told, durable))
        if not await durable:
            raise NotRecorded("neither Redis nor the spool takes it")

    def hand_in(self, fact: Fact, mark: bytes, told: Callable[[bool], None]) -> None:
        """`told` is called with whether the fact has become durable. NotRecorded if too many wait already."""
        if not self._open or len(self._waiting) >= self._max_waiting:
            raise NotRecorded("closed" if not self._open else f"{self._max_waiting} facts wait already")
        self._waiting.append((fact, mark, told))
        if not self._is_due and len(self._in_flight) < IN_FLIGHT:
            self._is_due = True
            self._idle.clear()
            loop = asyncio.get_running_loop()
            if self._in_flight:
                loop.call_later(GATHER_S, self._begin)
            else:
                loop.call_soon(self._begin)

    # Writing

    def _begin(self) -> None:
        """Everything that came by now goes on its way."""
        self._is_due = False
        while self._waiting and len(self._in_flight) < IN_FLIGHT:
            taken = [self._waiting.popleft() for _ in range(min(len(self._waiting), MAX_BATCH))]
            task = asyncio.get_running_loop().create_task(self._write(taken))
            self._in_flight.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._in_flight.discard(task)
        if self._waiting:
            self._begin()
        if not self._in_flight:
            self._idle.set()

    async def _write(self, taken: Sequence[_Waiting]) -> None:
        self._batches += 1
        batch = Batch(
            f"{self._name}.{self._batches}", tuple(fact for fact, _, _ in taken), tuple(mark for _, mark, _ in taken)
        )
        BATCH_FACTS.observe(len(taken))
        try:
            recorded = await self._record_somewhere(batch)
        except Exception:  # a bug in one batch must not keep the others from being recorded
            _log.exception("record_failed", facts=len(taken))
            recorded = False
        for _, _, told in taken:
            try:
                told(recorded)
            except Exception:  # a bug in one answer must not keep the others from being given
                _log.exception("answer_failed")

    async def _record_somewhere(self, batch: Batch) -> bool:
        if not self._view.is_known and any(batch.marks):
            return await self._to_spool(batch)
        ways = (self._to_spool, self._to_bus) if self._redis_away else (self._to_bus, self._to_spool)
        return await ways[0](batch) or await ways[1](batch)

    async def _to_bus(self, batch: Batch) -> bool:
        with _in_redis.time():
            return await self._published(batch, self._spool_after_s, self._spool_after_s)

    async def _to_spool(self, batch: Batch) -> bool:
        try:
            with _in_spool.time():
                await self._on_disk(self._spool.append, frames.frame(batch))
        except SpoolRefused as refused:
            _log.error("spool_refused", reason=str(refused), facts=len(batch.facts))
            return False
        self._spooled.set()
        return True

    async def _published(self, batch: Batch, timeout_s: float, patience_s: float) -> bool:
        """Whether the bus has stored it. Either way we know now whether Redis answers."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._publisher.publish(batch.facts, patience_s, batch.name)
        except (BusUnavailable, TimeoutError) as away:
            self._redis(away=True, reason=str(away) or "no answer in time")
        except Exception as unknown:  # an unknown failure is temporary: the facts are kept, and it is told
            _log.exception("publish_failed", facts=len(batch.facts))
            self._redis(away=True, reason=repr(unknown))
        else:
            self._redis(away=False)
            return True
        return False

    def _redis(self, *, away: bool, reason: str = "") -> None:
        if away == self._redis_away:
            return
        self._redis_away = away
        REDIS_AWAY.set(int(away))
        if away:
            _log.warning("redis_away", reason=reason)
        else:
            _log.info("redis_back")

    # Replaying

    async def _replay_forever(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_ROUND_S):
                    await self._spooled.wait()
            self._spooled.clear()  # before looking: what is spooled meanwhile sets it again
            try:
                while (path := await self._on_disk(self._spool.oldest)) is not None:
                    await self._replay(path)
                if await self._finds_more():
                    self._spooled.set()
            except Exception:  # as above; the file stays, and is tried again
                _log.exception("replay_failed")
                self._spooled.set()
                await asyncio.sleep(MAX_PAUSE_S)

    async def _finds_more(self) -> bool:
        """Whether another has died and left something. Not asked while Redis is away: it would only take the room that
        this process needs."""
        if self._redis_away:
            return False
        try:
            return await self._on_disk(self._spool.look_round)
        except OSError as fault:
            _log.error("spool_unreadable", reason=str(fault))
            return False

    async def _replay(self, path: Path) -> None:
        reading = await self._on_disk(self._spool.read, path)
        left = iter(reading.batches)
        await self._publish_at_last(islice(left, 1))
        async with asyncio.TaskGroup() as replaying:
            for _ in range(REPLAYED_AT_ONCE):
                replaying.create_task(self._publish_at_last(left))
        await self._on_disk(lambda: self._spool.remove(path, keep_copy=reading.damaged > 0))
        facts = sum(len(batch.facts) for batch in reading.batches)
        _log.info("spool_replayed", facts=facts, torn_bytes=reading.torn_bytes)
        if reading.damaged:
            _log.error("spool_damaged", frames=reading.damaged, kept=str(path.with_suffix(".damaged")))

    async def _publish_at_last(self, batches: Iterator[Batch]) -> None:
        """Each of them, but for those that another, who takes from the same, has taken."""
        for batch in batches:
            pause_s = FIRST_PAUSE_S
            while (any(batch.marks) and not self._view.is_known) or not await self._published_of(batch):
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, MAX_PAUSE_S)
            REPLAYED.inc(len(batch.facts))

    async def _published_of(self, batch: Batch) -> bool:
        """Of those who have not withdrawn since."""
        marks = batch.marks or (b"",) * len(batch.facts)
        kept = [
            fact
            for fact, mark in zip(batch.facts, marks, strict=True)
            if not mark or not self._view.is_withdrawn(fact.tenant, (mark,))
        ]
        left = Batch(batch.name, tuple(kept))
        return not kept or await self._published(left, REPLAY_TIMEOUT_S, 0)

    async def _on_disk(self, call: Callable[..., _T], *args: Any) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._disk, call, *args)


def _told(durable: "asyncio.Future[bool]", is_durable: bool) -> None:
    if not durable.done():  # else whoever asked has gone
        durable.set_result(is_durable)
