"""The main path of the relay: lease what is due, admit it, attempt it, record its end.

    take ──→ admit ──→ a site's line ──→ attempt ──→ recorder
    one loop           one deque         workers,     one loop
    a partition        a site            one connection each

Rules:

- What is in hand is bounded (`in_flight`), per site too (the lease script sees to that over all relays together).
- A worker is a connection: a site with many messages gets more of them, up to its limit, and none when it is idle.
- Nothing is attempted on a lease that may be over: `_held_until` is the monotonic time up to which each partition's
  leases hold for certain, and an epoch ends whenever it passed before they were renewed: what was taken in an earlier
  epoch may be another's. What was dropped for that reason comes back by `_recover`, if it is still ours.
- Nothing is attempted that was not found wanted within the last `FRESH_S`: who leaves while his mail is in line here,
  or while a host takes its time to greet, gets none.
- A bug in an attempt defers the message, a bug in taking is waited out: what is known to have ended goes on being
  recorded.
"""

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from math import inf
from typing import Protocol

import structlog
from prometheus_client import Gauge, Histogram

from services.relay import ends
from services.relay.admission import ENDED, Admission
from services.relay.courier import Courier
from services.relay.mail import End, Mail
from services.relay.recorder import Recorder
from services.relay.retry import Retries
from shared import events, ids
from shared.lifecycle import pause
from shared.ready import Lease, ReadyQueues, Taken
from shared.redis import RedisAway

#: How long an admission is good for. The promise is that an unsubscription takes effect within a second.
FRESH_S = 0.25
#: Messages next in line that are asked about together with one that has waited longer: at least, and at most.
FRESHENED_LEAST, FRESHENED_MOST = 10, 200
#: A relay trusts its lease for so much of its time: the rest covers the round trip and a stalled process.
TRUSTED = 0.8
#: Messages in line that justify one more connection to the site.
MAILS_PER_CONNECTION = 10
#: A kept connection that waits for mail is closed after this: hosts close them after 30 s to 5 min, and count them.
IDLE_S = 5.0
#: The longest wait for something to become due; leases are renewed at least so often.
WAIT_MS = 1000
#: After a bug, or a server that refuses: not so often that its logs are all there is.
FAULT_PAUSE_S = 1.0
#: After a small batch the next is given time to gather.
GATHER_S = 0.003

IN_HAND = Gauge("estafette_relay_in_hand_messages", "Messages leased and not yet recorded")
CONNECTIONS = Gauge("estafette_relay_connections", "Workers, each with at most one connection")
SITES = Gauge("estafette_relay_active_sites", "Sites with messages in hand")
READY_AGE = Histogram(
    "estafette_relay_first_attempt_seconds",
    "From the creation of the job to the first attempt",
    buckets=(0.01, 0.05, 0.1, 0.5, 1, 5, 30, 60, 300, 1800, 7200, 86400),
)


class Mails(Protocol):
    async def make(self, ready: events.Ready) -> "Made | ends.Unmade":
        """The mail of a message, or why there is none. Raises RedisAway."""


@dataclass(frozen=True, slots=True)
class Made:
    """A mail that can be sent: envelope sender, bytes with CRLF, and the stream of its job."""

    mail_from: str
    message: bytes
    stream: str


@dataclass(frozen=True)
class Limits:
    """`in_flight`, `batch`: messages. `site_in_hand`: of one site over all relays. `lease_ms`: as in `shared.ready`."""

    in_flight: int
    batch: int
    connections_per_site: int
    lease_ms: int

    @property
    def site_in_hand(self) -> int:
        return self.connections_per_site * 25


class Line:
    """The messages of a site that wait for a connection here, and the workers that take them."""

    __slots__ = (
        "arrived",
        "freshening",
        "idle",
        "leaving",
        "mails",
        "name",
        "pace",
        "since",
        "stale",
        "taken",
        "workers",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.mails: deque[Mail] = deque()
        self.workers: set[asyncio.Task[None]] = set()
        self.idle = 0
        #: Workers that take no more, and still have a connection to close.
        self.leaving = 0
        self.arrived = asyncio.Event()
        self.freshening = asyncio.Lock()
        #: Messages that a worker has, and that wait to be asked about.
        self.stale: list[Mail] = []
        #: Messages taken out of the line since then (monotonic seconds), and how many a second before.
        self.taken = 0
        self.since = inf
        self.pace = inf

    def take(self) -> Mail:
        self.taken += 1
        return self.mails.popleft()

    def soon(self, now: float) -> Sequence[Mail]:
        """Those that have their turn before an answer about them is old, and as many again: a slow site would otherwise
        ask about the same messages four times a second for minutes."""
        if now - self.since >= FRESH_S:
            self.pace = self.taken / (now - self.since)
            self.taken, self.since = 0, now
        self.since = min(self.since, now)
        return list(islice(self.mails, int(min(max(FRESHENED_LEAST, 2 * FRESH_S * self.pace), FRESHENED_MOST))))

    def workers_wanted(self, limit: int) -> int:
        """How many more workers this line deserves now."""
        wanted = min(limit - self.leaving, -(-len(self.mails) // MAILS_PER_CONNECTION))
        return max(0, wanted - len(self.workers) + self.leaving) if self.idle < wanted else 0


class _LeaseOver(Exception):
    """Another relay may have the message by now."""


class Relay:
    """One relay process. `run` until `stopping`; then what was not tried is put back."""

    def __init__(
        self,
        name: str,
        partitions: int,
        limits: Limits,
        queues: ReadyQueues,
        admission: Admission,
        mails: Mails,
        new_courier: Callable[[], Courier],
        retries: Retries,
        make_recorder: Callable[[Callable[[Sequence[End]], None]], Recorder],
        now_ms: Callable[[], int],
        monotonic: Callable[[], float],
    ) -> None:
        self._name = name
        self._partitions = partitions
        self._limits = limits
        self._queues = queues
        self._admission = admission
        self._mails = mails
        self._new_courier = new_courier
        self._retries = retries
        self._recorder = make_recorder(self._recorded)
        self._now_ms = now_ms
        self._monotonic = monotonic
        # Well within half a lease: who asks less often is not there to see that another has died (`shared.ready`).
        self._wait_ms = max(1, min(WAIT_MS, limits.lease_ms // 4))
        self._in_hand: dict[tuple[int, int], Mail] = {}
        self._per_partition: Counter[int] = Counter()
        self._asked_for = 0
        self._held_until = [0.0] * partitions
        self._epochs = [0] * partitions
        self._lines: dict[str, Line] = {}
        self._has_room = asyncio.Event()
        self._stopping = asyncio.Event()
        self._log = structlog.get_logger("relay")

    # The life of the process

    async def run(self, stopping: asyncio.Event) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                try:
                    recording = group.create_task(self._recorder.run(), name="recorder")
                    taking = [
                        group.create_task(self._take(partition, stopping), name=f"take {partition}")
                        for partition in range(self._partitions)
                    ]
                    await asyncio.wait(taking)
                    await self._drain()
                    recording.cancel()
                finally:
                    # Cancelling is not enough: a call of Redis that ends at that moment swallows it, because
                    # `asyncio.wait_for` does before Python 3.12.
                    self._stopping.set()
        finally:
            for line in self._lines.values():
                line.mails.clear()
            for worker in (workers := self._workers()):
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    def _workers(self) -> list[asyncio.Task[None]]:
        return [worker for line in self._lines.values() for worker in line.workers]

    async def _drain(self) -> None:
        """What was not tried goes back at once; workers finish the message they have, for which the lease is renewed;
        ends are recorded; then the lease is over."""
        self._stopping.set()
        untried: dict[int, list[int]] = defaultdict(list)
        for line in self._lines.values():
            for mail in line.mails:
                untried[mail.lease.partition].append(mail.lease.number)
                self._forget(mail)
            line.mails.clear()
            line.arrived.set()
        drained = asyncio.Event()
        renewing = asyncio.create_task(self._renew(drained), name="renew")
        try:
            for partition, numbers in untried.items():
                await self._release(partition, numbers)
            await asyncio.gather(*self._workers(), return_exceptions=True)
            await self._recorder.flushed()
        finally:
            drained.set()
        await renewing
        for partition in range(self._partitions):
            await self._release(partition)

    async def _renew(self, drained: asyncio.Event) -> None:
        """Nobody takes any more, and so nobody else renews."""
        while not drained.is_set():
            for partition in range(self._partitions):
                with suppress(RedisAway):
                    await self._ask(partition, 0, 0)
            await pause(drained, self._limits.lease_ms / 3000)

    async def _release(self, partition: int, numbers: Sequence[int] | None = None) -> None:
        try:
            await self._queues.release(partition, self._name, numbers)
        except RedisAway as away:  # they go back by themselves when the lease is over
            self._log.warning("not_released", reason=str(away), partition=partition)

    # Take

    async def _take(self, partition: int, stopping: asyncio.Event) -> None:
        """Leases what is due in one partition, as long as there is room, and renews what is held."""
        woken = "0"
        while not (stopping.is_set() or self._stopping.is_set()):
            room = max(0, self._room())
            limit = min(self._limits.batch, room)
            self._asked_for += limit
            try:
                count, due_in_ms = await self._lease(partition, limit, room)
            except RedisAway as away:
                self._log.warning("redis_away", reason=str(away), partition=partition)
                await pause(stopping, 0.2)
                continue
            except Exception:  # ours, or a server that refuses: what has been taken has to be sent and recorded
                self._log.exception("take_failed", partition=partition)
                await pause(stopping, FAULT_PAUSE_S)
                continue
            finally:
                self._asked_for -= limit
                if limit and self._room() > 0:
                    self._has_room.set()
            if room == 0:
                await self._wait_for_room()
            elif count == 0:
                woken = await self._wait_for_more(partition, woken, due_in_ms, stopping)
            elif count < self._limits.batch // 2:
                await asyncio.sleep(GATHER_S)

    async def _lease(self, partition: int, limit: int, room: int) -> tuple[int, int]:
        expected = self._per_partition[partition]
        taken = await self._ask(partition, limit, room)
        leases = taken.leases
        if taken.held > expected + len(leases):
            leases = [*leases, *await self._recover(partition, leases)]
        if leases:
            await self._admit(leases)
        return len(leases), taken.due_in_ms

    async def _ask(self, partition: int, limit: int, room: int) -> Taken:
        """Up to `limit` messages, and a new lease on all that is held; an epoch ends if the old one was over before."""
        limits = self._limits
        asked_at = self._monotonic()
        taken = await self._queues.lease(partition, self._name, limits.lease_ms, limit, limits.site_in_hand, room)
        if self._monotonic() >= self._held_until[partition]:
            self._epochs[partition] += 1
        self._held_until[partition] = asked_at + limits.lease_ms / 1000 * TRUSTED
        return taken

    async def _recover(self, partition: int, leases: Sequence[Lease]) -> list[Lease]:
        """What is held in our name and not in hand: the answer that brought it was lost, or it was dropped here."""
        # Known before it is asked: what is recorded in the meantime is in the answer still, and in hand no more.
        known = {number for its_partition, number in self._in_hand if its_partition == partition}
        known.update(lease.number for lease in leases)
        found = [lease for lease in await self._queues.held(partition, self._name) if lease.number not in known]
        if found:
            self._log.info("recovered", partition=partition, messages=len(found))
        return found

    async def _wait_for_more(self, partition: int, woken: str, due_in_ms: int, stopping: asyncio.Event) -> str:
        try:
            return await self._queues.wait(partition, woken, min(due_in_ms, self._wait_ms))
        except RedisAway:
            await pause(stopping, 0.2)
            return woken

    def _room(self) -> int:
        """How many more messages may be asked for."""
        return self._limits.in_flight - len(self._in_hand) - self._asked_for

    async def _wait_for_room(self) -> None:
        if self._room() > 0:
            return
        self._has_room.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._wait_ms / 1000):
                await self._has_room.wait()

    # Admit

    async def _admit(self, leases: Sequence[Lease]) -> None:
        """Puts messages in line at their sites, unless they have ended or their recipients have left."""
        checked_at = self._monotonic()
        mails = []
        for lease in leases:
            try:
                ready = _read(lease.body)
            except ValueError as fault:
                self._log.error("buried", partition=lease.partition, site=lease.site, reason=str(fault)[:200])
                await self._queues.bury(lease, self._name, str(fault))
            else:
                mails.append(Mail(lease, ready, checked_at, self._epochs[lease.partition]))
        verdicts = await self._admission.check([mail.ready for mail in mails])
        for mail, verdict in zip(mails, verdicts, strict=True):
            self._in_hand[mail.lease.partition, mail.lease.number] = mail
            self._per_partition[mail.lease.partition] += 1
            if verdict is None:
                self._put_in_line(mail)
            else:
                self._recorder.add(self._unwanted(mail, verdict))
        IN_HAND.set(len(self._in_hand))

    def _unwanted(self, mail: Mail, verdict: str) -> End:
        return End(mail, None) if verdict == ENDED else ends.suppressed(mail, verdict, self._now_ms())

    def _put_in_line(self, mail: Mail) -> None:
        line = self._lines.get(mail.lease.site)
        if line is None:
            line = self._lines[mail.lease.site] = Line(mail.lease.site)
            SITES.set(len(self._lines))
        line.mails.append(mail)
        line.arrived.set()
        self._staff(line)

    def _staff(self, line: Line) -> None:
        for _ in range(line.workers_wanted(self._limits.connections_per_site)):
            worker = asyncio.create_task(self._work(line), name=f"worker {line.name}")
            line.workers.add(worker)
            worker.add_done_callback(lambda done, line=line: self._worker_ended(line, done))  # type: ignore[misc]
            CONNECTIONS.inc()

    def _worker_ended(self, line: Line, worker: asyncio.Task[None]) -> None:
        line.workers.discard(worker)
        CONNECTIONS.dec()
        if not worker.cancelled() and (fault := worker.exception()) is not None:
            self._log.error("worker_failed", site=line.name, exc_info=fault)
        if line.mails and not self._stopping.is_set():
            self._staff(line)
        elif not line.workers:
            self._lines.pop(line.name, None)
            SITES.set(len(self._lines))

    # Attempt

    async def _work(self, line: Line) -> None:
        """One worker: takes messages of its site until there have been none for a while."""
        courier = self._new_courier()
        try:
            while (mail := await self._next(line)) is not None:
                await self._attempt(mail, courier)
        finally:
            line.leaving += 1
            try:
                await courier.close()
            finally:
                line.leaving -= 1

    async def _next(self, line: Line) -> Mail | None:
        while not line.mails:
            if self._stopping.is_set():
                return None
            line.arrived.clear()
            line.idle += 1
            try:
                async with asyncio.timeout(IDLE_S):
                    await line.arrived.wait()
            except TimeoutError:
                if not line.mails:
                    return None
            finally:
                line.idle -= 1
        return line.take()

    async def _attempt(self, mail: Mail, courier: Courier) -> None:
        """One message, to the end of this attempt: recorded, or dropped because its lease may be over."""
        while self._holds(mail):
            try:
                end = await self._end_of(mail, courier)
            except _LeaseOver:
                break
            except RedisAway:
                if self._stopping.is_set():
                    break
                await asyncio.sleep(0.1)
                continue
            except Exception as fault:  # ours: it must not hold the message for ever, nor lose it
                self._log.exception("attempt_failed", job=mail.ready.job, ordinal=mail.ready.ordinal)
                why = ends.Unmade("internal_error", type(fault).__name__, final=False)
                end = ends.unmade(mail, why, self._now_ms(), self._retries)
            self._recorder.add(end)
            return
        self._forget(mail)

    async def _end_of(self, mail: Mail, courier: Courier) -> End:
        ready = mail.ready
        if (end := await self._withheld(mail)) is not None:
            return end
        made = await self._mails.make(ready)
        now_ms = self._now_ms()
        if isinstance(made, ends.Unmade):
            return ends.unmade(mail, made, now_ms, self._retries)
        if ready.attempt == 1:
            READY_AGE.observe(events.sequence(ready.job, now_ms) / 1000)
        result = await courier.deliver(
            mail.domain, made.mail_from, ready.email, made.message, lambda: self._withheld(mail)
        )
        if isinstance(result, End):
            return result
        return ends.attempted(mail, made.stream, len(made.message), result, now_ms, self._now_ms(), self._retries)

    async def _withheld(self, mail: Mail) -> End | None:
        """The end of a message that must not be sent any more; None if it may be. _LeaseOver, RedisAway."""
        now_ms = self._now_ms()
        if self._retries.is_over(mail.ready.expires_at, now_ms):
            return ends.expired(mail, now_ms)
        await self._freshen(mail)
        if mail.unwanted is not None:
            return self._unwanted(mail, mail.unwanted)
        if not self._holds(mail):
            raise _LeaseOver
        return None

    async def _freshen(self, mail: Mail) -> None:
        """Asks again whether the message is wanted if it was last asked too long ago, and with it those that the other
        workers have and those next in line: where one has waited the others have, and each question is two round
        trips."""
        line = self._lines.get(mail.lease.site)
        if self._monotonic() - mail.checked_at <= FRESH_S or line is None:
            return
        line.stale.append(mail)
        async with line.freshening:
            asked_at = self._monotonic()
            if asked_at - mail.checked_at <= FRESH_S:
                return
            together = [mail, *(one for one in line.stale if one is not mail), *line.soon(asked_at)]
            line.stale.clear()
            verdicts = await self._admission.check([one.ready for one in together])
            for one, verdict in zip(together, verdicts, strict=True):
                one.checked_at, one.unwanted = asked_at, verdict

    def _holds(self, mail: Mail) -> bool:
        partition = mail.lease.partition
        return mail.epoch == self._epochs[partition] and self._monotonic() < self._held_until[partition]

    # Let go

    def _recorded(self, batch: Sequence[End]) -> None:
        for end in batch:
            self._forget(end.mail)

    def _forget(self, mail: Mail) -> None:
        if self._in_hand.pop((mail.lease.partition, mail.lease.number), None) is not None:
            self._per_partition[mail.lease.partition] -= 1
            IN_HAND.set(len(self._in_hand))
            self._has_room.set()


def _read(body: bytes) -> events.Ready:
    """ValueError if it is nothing that could be sent and recorded."""
    ready = events.decode("Ready", body)
    if not isinstance(ready, events.Ready) or not ids.is_job_id(ready.job) or not 0 <= ready.ordinal <= ids.MAX_ORDINAL:
        raise ValueError("not a message of a job")
    return ready
