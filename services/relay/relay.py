"""The main path of the relay: lease what is due, admit it, attempt it, record its end.

    take ──→ admit ──→ a site's line ──→ attempt ──→ recorder
    one loop           by queue          workers,     one loop
    a partition        (`line`)          one connection each

Rules:

- What is in hand is bounded (`in_flight`), per site too (the lease script sees to that over all relays together).
- A worker is a connection: a site with many messages gets more of them, up to its limit, and none when it is idle.
- What a limit holds back (`gate`) stays in line, a few messages of it: as many as will soon go. The rest is put back,
  and while those wait no more of it is taken (`_avoided`). So a slow site has a small part of what is in hand.
- Who finds that a host may not be dialled now (`hosts`) has tried nothing: his message stays in line where the host
  answers, and comes back later where it does not, the attempt still before it.
- What is stopped (a job, a tenant's bulk) goes aside and comes back when the stop ends (`aside`).
- Nothing is attempted on a lease that may be over: `_held_until` is the monotonic time up to which each partition's
  leases hold for certain, and an epoch ends whenever it passed before they were renewed: what was taken in an earlier
  epoch may be another's. What was dropped for that reason comes back by `_recover`, if it is still ours.
- Nothing is attempted that was not found wanted within the last `FRESH_S`, or `FRESH_ENOUGH_S` where it waited for a
  permit: who leaves while his mail is in line here, or while a host takes its time to greet, gets none.
- What a relay had in hand when it died counts as taken over (`shared.redis.ready`); so does what was in hand while this
  loop did not turn for as long as a lease. What was taken over too often ends here, untried.
- What is sent and not recorded would be sent twice if this process died: while ends wait to be recorded (`recorder`),
  no MAIL FROM is said.
- A bug in an attempt defers the message, a bug in taking is waited out: what is known to have ended goes on being
  recorded.
"""

import asyncio
from collections import Counter as Tally
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import structlog
from prometheus_client import Counter, Gauge, Histogram

from services.relay.aside import Aside
from services.relay.checks import admission
from services.relay.checks.admission import Admission
from services.relay.delivery.courier import Courier, Parcel, Result
from services.relay.message import ends
from services.relay.message.line import FRESH_S, Line, Place
from services.relay.message.mail import (
    End,
    Made,
    Mail,
    Unmade,
)
from services.relay.message.retry import Retries
from services.relay.recorder import Recorder
from services.relay.words.notnow import NotNow, Scope
from shared.process.lifecycle import pause
from shared.redis.ready import (
    HOPELESS,
    SUSPECT,
    Avoided,
    Lease,
    ReadyQueues,
    Taken,
    TakenOver,
)
from shared.redis.redis import RedisAway
from shared.words import events, ids

#: A relay trusts its lease for so much of its time: the rest covers the round trip and a stalled process.
TRUSTED = 0.8
#: A worker without mail and without a connection ends after this. One with a connection waits as long as its site lets
#: that be idle (`Gate.idle_s`).
UNCONNECTED_S = 5.0
#: The longest wait for something to become due; leases are renewed at least so often.
WAIT_MS = 1000
#: After a bug, or a server that refuses: not so often that its logs are all there is.
FAULT_PAUSE_S = 1.0
#: After a small batch the next is given time to gather; more, where a whole batch is in hand already.
GATHER_S = 0.003
GATHER_LONGER_S = 0.02
#: With a permit in hand, so long ago: a permit is waited for, and the promise is that who leaves gets nothing a second
#: later.
FRESH_ENOUGH_S = 0.75
#: A limit that lets go so soon is waited for by the worker itself, its connection open, where the alternative is one by
#: another address. (`gate` has waited before, as long as that makes sense with the place kept.)
PATIENCE_MS: Mapping[Scope, int] = {"slot": 0, "site": 0, "source": 2_000, "queue": 0, "host": 0}
#: While ends cannot be recorded nothing new is sent; so often it is looked whether they can.
BEHIND_PAUSE_S = 0.05
#: An idle worker looks so often whether its connection is still wanted.
LOOK_ROUND_S = 1.0
#: Of what a limit holds back so many messages stay in line, or as many as go in `KEPT_S`, whichever is more.
KEPT = 20
KEPT_S = 1.0
#: And no more than this part of all that a relay may hold: a site alone may have twice as much (`shared.redis.ready`).
KEPT_PART = 16
#: A limit that refused is asked again after so long at the latest: an operator may have lifted it.
LONGEST_BLOCK_S = 30.0
#: While something is avoided, leases are asked for so often: its line may be short again at any moment.
AVOIDING_WAIT_MS = 100

IN_HAND = Gauge("estafette_relay_in_hand_messages", "Messages leased and not yet recorded")
CONNECTIONS = Gauge("estafette_relay_connections", "Workers, each with at most one connection")
SITES = Gauge("estafette_relay_active_sites", "Sites with messages in hand")
TAKEN_OVER = Counter(
    "estafette_relay_taken_over_messages_total", "Messages that a relay had in hand when it died, or hung"
)
READY_AGE = Histogram(
    "estafette_relay_first_attempt_seconds",
    "From the creation of the job to the first attempt",
    buckets=(0.01, 0.05, 0.1, 0.5, 1, 5, 30, 60, 300, 1800, 7200, 86400),
)


class Making(Protocol):
    """The mails of messages (`making`)."""

    def ahead(self, line: Line["asyncio.Task[None]"], now: float) -> None:
        """Begins to make those next in line."""

    async def made(self, mail: Mail) -> Made | Unmade:
        """The mail of a message, or why there is none. RedisAway."""

    def settle(self, mail: Mail, *, keep: bool) -> None:
        """Its attempt is over; `keep` the mail for another one soon."""


class Gate(Protocol):
    """What limits and addresses allow (`gate`)."""

    def pool(self, ready: events.Ready) -> str:
        """The pool of source addresses that the message leaves by."""

    def connections(self, site: str) -> int:
        """How many connections a process may have to the site, as far as one can tell without asking."""

    def idle_s(self, site: str) -> float:
        """How long a connection to the site may stay open without a message."""

    def has_many_hosts(self, site: str) -> bool:
        """One of its hosts says nothing of the others."""

    def has_source(self, site: str, pool: str) -> bool:
        """There is an address by which mail may leave now."""

    async def permit(self, site: str, source: str, ready: events.Ready, rate: str) -> NotNow | None:
        """Whether the message may go right now; None: it may, and it counts. RedisAway."""

    def accepted(self, site: str, source: str) -> None:
        """The site took a message."""


class Stops(Protocol):
    def reason(self, job: str, tenant: str, stream: str) -> str | None:
        """Why messages of this job must not leave; None if they may."""


class Begun(Protocol):
    async def mark(self, ready: events.Ready) -> None:
        """On record when it returns: this attempt of a message has begun. RedisAway."""


@dataclass(frozen=True)
class Limits:
    """`in_flight`, `batch`: messages. `site_in_hand`: of one site over all relays. `lease_ms`: as in
    `shared.redis.ready`."""

    in_flight: int
    batch: int
    connections_per_site: int
    lease_ms: int
    #: Messages are tried one by one, each with nothing else in hand; one that may not go now is put back.
    alone: bool = False

    @property
    def site_in_hand(self) -> int:
        return self.connections_per_site * 25


class SiteLine(Line["asyncio.Task[None]"]):
    """A line with what its workers wait on."""

    __slots__ = ("arrived", "connected", "freshening", "slow", "stale")

    def __init__(self, site: str, pool: str) -> None:
        super().__init__(site, pool)
        self.arrived = asyncio.Event()
        self.freshening = asyncio.Lock()
        #: Messages that a worker has, and that wait to be asked about.
        self.stale: list[Mail] = []
        #: Workers whose connection is open.
        self.connected = 0
        #: Until when (monotonic) each place counts as held back, and how many of its messages stay in line meanwhile.
        self.slow: dict[Place | None, tuple[float, int]] = {}


class _Stopped(Exception):
    """The message's job or tenant was stopped."""


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
        making: Making,
        new_courier: Callable[[str, str], Courier],
        retries: Retries,
        make_recorder: Callable[[Callable[[Sequence[End]], None]], Recorder],
        gate: Gate,
        stops: Stops,
        aside: Aside,
        begun: Begun,
        now_ms: Callable[[], int],
        monotonic: Callable[[], float],
    ) -> None:
        self._name = name
        self._partitions = partitions
        self._limits = limits
        self._queues = queues
        self._admission = admission
        self._making = making
        self._new_courier = new_courier
        self._retries = retries
        self._recorder = make_recorder(self._recorded)
        self._gate = gate
        self._stops = stops
        self._aside = aside
        self._begun = begun
        self._now_ms = now_ms
        self._monotonic = monotonic
        # Well within half a lease: who asks less often is not there to see that another has died
        # (`shared.redis.ready`).
        self._wait_ms = max(1, min(WAIT_MS, limits.lease_ms // 4))
        self._in_hand: dict[tuple[int, int], Mail] = {}
        self._per_partition: Tally[int] = Tally()
        self._asked_for = 0
        self._held_until = [0.0] * partitions
        self._epochs = [0] * partitions
        #: When each partition was last asked, well or in vain; empty while nobody asks.
        self._asked_at: list[float] = []
        self._hung = [False] * partitions
        self._lines: dict[tuple[str, str], SiteLine] = {}
        self._has_room = asyncio.Event()
        self._stopping = asyncio.Event()
        self._log = structlog.get_logger("relay")

    # The life of the process

    async def run(self, stopping: asyncio.Event) -> None:
        self._asked_at = [self._monotonic()] * self._partitions
        try:
            async with asyncio.TaskGroup() as group:
                try:
                    recording = group.create_task(self._recorder.run(), name="recorder")
                    taking = [
                        group.create_task(self._take(partition, stopping), name=f"take {partition}")
                        for partition in range(self._partitions)
                    ]
                    turning = group.create_task(self._turn(), name="turn")
                    minding = [
                        group.create_task(self._aside.sweep(self._batch, self._admit, self._stopping), name="sweep"),
                        group.create_task(self._aside.bring_back(self._stopping), name="bring back"),
                    ]
                    await asyncio.wait(taking)
                    self._stopping.set()
                    await asyncio.wait(minding)
                    await self._drain()
                    self._asked_at = []
                    recording.cancel()
                    turning.cancel()
                finally:
                    # Cancelling is not enough: a call of Redis that ends at that moment swallows it, because
                    # `asyncio.wait_for` does before Python 3.12.
                    self._stopping.set()
        finally:
            self._asked_at = []
            for line in self._lines.values():
                line.give_back(None, 0)
            for worker in (workers := self._workers()):
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    def silent_s(self) -> float:
        """For how long a partition has neither been asked with success nor in vain: an outage is no silence, for who is
        refused has asked."""
        return self._monotonic() - min(self._asked_at) if self._asked_at else 0.0

    @property
    def is_idle(self) -> bool:
        return not self._in_hand

    def _workers(self) -> list[asyncio.Task[None]]:
        return [worker for line in self._lines.values() for worker in line.workers]

    async def _drain(self) -> None:
        """What was not tried goes back at once; workers finish the message they have, for which the lease is renewed;
        ends are recorded; then the lease is over."""
        self._stopping.set()
        untried: dict[int, list[int]] = defaultdict(list)
        for line in self._lines.values():
            for mail in line.give_back(None, 0):
                untried[mail.lease.partition].append(mail.lease.number)
                self._forget(mail)
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

    async def _turn(self) -> None:
        """Sees that this loop did not turn for as long as a lease: nobody else does where there is one relay alone."""
        clock = asyncio.get_running_loop().time
        while True:
            turned_at = clock()
            await asyncio.sleep(LOOK_ROUND_S)
            if clock() - turned_at > self._limits.lease_ms / 1000 + LOOK_ROUND_S:
                self._hung = [True] * self._partitions

    async def _renew(self, drained: asyncio.Event) -> None:
        """Nobody takes any more, and so nobody else renews."""
        while not drained.is_set():
            for partition in range(self._partitions):
                with suppress(RedisAway):
                    await self._ask(partition, 0, 0)
                self._asked_at[partition] = self._monotonic()
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
                if self._hung[partition]:
                    await self._let_go_of_all(partition)
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
                self._asked_at[partition] = self._monotonic()
                self._asked_for -= limit
                if limit and self._room() > 0:
                    self._has_room.set()
            if room == 0:
                await self._wait_for_room()
            elif count == 0:
                due_in_ms = AVOIDING_WAIT_MS if self._avoided() else due_in_ms
                woken = await self._wait_for_more(partition, woken, due_in_ms, stopping)
            elif count < self._limits.batch // 2:
                has_plenty = self._per_partition[partition] >= self._limits.batch
                await asyncio.sleep(GATHER_LONGER_S if has_plenty else GATHER_S)

    async def _let_go_of_all(self, partition: int) -> None:
        """After this loop hung: one of what it has in hand may be why. What was under way is recorded if it can be, and
        dropped by its epoch if not."""
        self._epochs[partition] += 1
        taken_over = await self._queues.died(partition, self._name)
        self._hung[partition] = False
        self.tell(taken_over)

    def tell(self, taken_over: Sequence[TakenOver]) -> None:
        """Names each in the log."""
        for one in taken_over:
            TAKEN_OVER.inc()
            try:
                ready = _read(one.body)
            except ValueError:  # it is buried when it is leased
                continue
            self._log.warning(
                "taken_over",
                tenant=ready.tenant,
                job=ready.job,
                ordinal=ready.ordinal,
                site=one.site,
                take_overs=one.take_overs,
                next="failed" if one.take_overs >= HOPELESS else "alone" if one.take_overs >= SUSPECT else "again",
            )

    async def _lease(self, partition: int, limit: int, room: int) -> tuple[int, int]:
        expected = self._per_partition[partition]
        taken = await self._ask(partition, limit, room)
        leases = taken.leases
        if taken.taken_over:
            self.tell(taken.taken_over)
        if taken.held > expected + len(leases):
            leases = [*leases, *await self._recover(partition, leases)]
        if leases:
            await self._admit(leases)
        return len(leases), taken.due_in_ms

    async def _ask(self, partition: int, limit: int, room: int) -> Taken:
        """Up to `limit` messages, and a new lease on all that is held; an epoch ends if the old one was over before."""
        limits = self._limits
        asked_at = self._monotonic()
        taken = await self._queues.lease(
            partition, self._name, limits.lease_ms, limit, limits.site_in_hand, room, self._avoided()
        )
        if self._monotonic() >= self._held_until[partition]:
            self._epochs[partition] += 1
        self._held_until[partition] = asked_at + limits.lease_ms / 1000 * TRUSTED
        return taken

    def _avoided(self) -> list[Avoided]:
        """Of which sites, and queues at sites, enough is in line that may not go now."""
        now = self._monotonic()
        enough: dict[tuple[str, Place | None], bool] = {}
        for line in self._lines.values():
            for place, (until, kept) in [*line.slow.items()]:
                if until <= now:
                    del line.slow[place]
                else:
                    # A site has other lines, of other pools: it is not avoided for one's sake.
                    name = line.site, place
                    enough[name] = enough.get(name, True) and line.waiting(place) * 2 >= kept
            if len(line) and None not in line.slow:
                enough[line.site, None] = False
        return [Avoided(site, *(place or ())) for (site, place), is_enough in enough.items() if is_enough]

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

    def _batch(self) -> int:
        """And in one call."""
        return min(self._limits.batch, max(0, self._room()))

    async def _wait_for_room(self) -> None:
        if self._room() > 0:
            return
        self._has_room.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._wait_ms / 1000):
                await self._has_room.wait()

    # Admit

    async def _admit(self, leases: Sequence[Lease]) -> None:
        """Puts messages in line at their sites, unless they have ended, were stopped or their recipients have left."""
        checked_at = self._monotonic()
        mails = await self._mails_of(leases, checked_at)
        verdicts = await self._admission.check([mail.ready for mail in mails])
        stopped: list[Mail] = []
        lines: set[SiteLine] = set()
        now_ms = self._now_ms()
        for mail, verdict in zip(mails, verdicts, strict=True):
            self._in_hand[mail.lease.partition, mail.lease.number] = mail
            self._per_partition[mail.lease.partition] += 1
            if verdict is not None:
                self._recorder.add(self._unwanted(mail, verdict))
            elif self._retries.is_over(mail.ready.expires_at, now_ms):
                self._recorder.add(ends.expired(mail, now_ms))  # also of what is stopped: it comes from aside
            elif mail.lease.take_overs >= HOPELESS:
                self._recorder.add(ends.brought_down(mail, now_ms))
            elif self._is_stopped(mail):
                stopped.append(mail)
            else:
                lines.add(self._put_in_line(mail))
        IN_HAND.set(len(self._in_hand))
        await self._aside.put(self._by_partition(stopped))
        # These were on their way here when a limit refused.
        now = self._monotonic()
        for line in lines:
            for place, (until, kept) in [*line.slow.items()]:
                if until > now:
                    await self._put_back(line.give_back(place, kept))

    async def _mails_of(self, leases: Sequence[Lease], checked_at: float) -> list[Mail]:
        mails = []
        for lease in leases:
            try:
                ready = _read(lease.body)
            except ValueError as fault:
                self._log.error("buried", partition=lease.partition, site=lease.site, reason=str(fault)[:200])
                await self._queues.bury(lease, self._name, str(fault))
            else:
                mails.append(Mail(lease, ready, checked_at, self._epochs[lease.partition]))
        return mails

    def _unwanted(self, mail: Mail, verdict: str) -> End:
        match verdict:
            case admission.ENDED:
                return End(mail, None)
            case admission.UNKNOWN:
                return ends.unknown(mail, self._now_ms())
            case _:
                return ends.suppressed(mail, verdict, self._now_ms())

    def _is_stopped(self, mail: Mail) -> bool:
        ready = mail.ready
        return self._stops.reason(ready.job, ready.tenant, ready.stream) is not None

    def _put_in_line(self, mail: Mail) -> SiteLine:
        name = mail.lease.site, self._gate.pool(mail.ready)
        line = self._lines.get(name)
        if line is None:
            line = self._lines[name] = SiteLine(*name)
            SITES.set(len(self._lines))
        line.put(mail)
        line.arrived.set()
        self._staff(line)
        return line

    def _staff(self, line: SiteLine) -> None:
        limit = min(self._gate.connections(line.site), self._limits.connections_per_site)
        for _ in range(line.workers_wanted(limit, self._monotonic())):
            worker = asyncio.create_task(self._work(line), name=f"worker {line.site}")
            line.workers.add(worker)
            worker.add_done_callback(partial(self._worker_ended, line))
            CONNECTIONS.inc()

    def _worker_ended(self, line: SiteLine, worker: "asyncio.Task[None]") -> None:
        line.workers.discard(worker)
        CONNECTIONS.dec()
        if not worker.cancelled() and (fault := worker.exception()) is not None:
            self._log.error("worker_failed", site=line.site, exc_info=fault)
        if len(line) and not self._stopping.is_set():
            self._staff(line)
        elif not line.workers:
            self._lines.pop((line.site, line.pool), None)
            SITES.set(len(self._lines))

    # Attempt

    async def _work(self, line: SiteLine) -> None:
        """One worker: takes messages of its line until there have been none for a while."""
        courier = self._new_courier(line.site, line.pool)
        try:
            while (mail := await self._next(line, courier)) is not None:
                if len(line) and not line.slow:
                    self._making.ahead(line, self._monotonic())
                was_open = courier.is_open
                go_on = await self._attempt(mail, line, courier)
                line.connected += courier.is_open - was_open
                if not go_on:
                    break
        finally:
            line.leaving += 1
            line.connected -= courier.is_open
            try:
                await courier.close()
            finally:
                line.leaving -= 1

    async def _next(self, line: SiteLine, courier: Courier) -> Mail | None:
        """The next message that may go. None when there has been nothing for a while, or nothing may go and others of
        this line are there to wait for it."""
        idle_since = self._monotonic()
        while (mail := line.take(now := self._monotonic())) is None:
            wait_s = line.wait_s(now)
            is_idle = now - idle_since >= (self._gate.idle_s(line.site) if courier.is_open else UNCONNECTED_S)
            if self._stopping.is_set() or (is_idle and (wait_s is None or line.idle > 0)):
                return None
            if courier.is_open and (is_idle or not courier.is_good(idle=True)):
                line.connected -= 1
                await courier.close()  # the host counts it, and another relay may want its slot
                continue
            line.arrived.clear()
            line.idle += 1
            try:
                async with asyncio.timeout(min(LOOK_ROUND_S, LOOK_ROUND_S if wait_s is None else wait_s)):
                    await line.arrived.wait()
            except TimeoutError:
                pass
            finally:
                line.idle -= 1
        return mail

    async def _attempt(self, mail: Mail, line: SiteLine, courier: Courier) -> bool:
        """One message, to the end of this attempt: recorded, held back, put aside, or dropped because its lease may be
        over. Whether this worker is of further use."""
        while self._holds(mail):
            try:
                end = await self._end_of(mail, line, courier)
            except _LeaseOver:
                break
            except _Stopped:
                await self._aside.put(self._by_partition([mail]))
                return True
            except RedisAway:
                if self._stopping.is_set():
                    break
                await asyncio.sleep(0.1)
                continue
            except Exception as fault:  # ours: it must not hold the message for ever, nor lose it
                self._log.exception("attempt_failed", job=mail.ready.job, ordinal=mail.ready.ordinal)
                why = Unmade("internal_error", type(fault).__name__, final=False)
                now_ms = self._now_ms()
                end = ends.unknown(mail, now_ms) if mail.begun else ends.unmade(mail, why, now_ms, self._retries)
            if isinstance(end, NotNow):
                if end.scope == "source" and self._gate.has_source(line.site, line.pool):
                    await courier.close()
                    continue  # by another address
                if end.scope == "host" and not (end.is_busy and not self._gate.has_many_hosts(line.site)):
                    self._recorder.add(ends.untried(mail, end, self._now_ms(), self._retries))
                    return True
                return await self._hold_back(mail, line, end)
            self._recorder.add(end)
            return True
        self._forget(mail)
        return True

    async def _end_of(self, mail: Mail, line: SiteLine, courier: Courier) -> End | NotNow:
        ready = mail.ready
        if (end := await self._withheld(mail)) is not None:
            return end
        if not courier.is_open and (shut := await courier.shut(mail.domain)) is not None:
            return shut
        made = await self._making.made(mail)
        now_ms = self._now_ms()
        if isinstance(made, Unmade):
            self._making.settle(mail, keep=False)
            return ends.unmade(mail, made, now_ms, self._retries)
        parcel = Parcel(
            mail.domain,
            made.mail_from,
            ready.email,
            made.message,
            made.utf8,
            partial(self._begin, mail) if ready.at_most_once else None,
            made.wire_ready,
            ready.attempt,
        )
        result: Result | End | NotNow = await courier.deliver(
            parcel, lambda source: self._not_permitted(mail, line, source, made.rate)
        )
        self._making.settle(mail, keep=isinstance(result, NotNow))
        if not isinstance(result, Result):
            return result
        if ready.attempt == 1:
            READY_AGE.observe(events.sequence(ready.job, now_ms) / 1000)
        end = ends.attempted(mail, made.stream, len(made.message), result, now_ms, self._now_ms(), self._retries)
        if isinstance(end.fact, events.Delivered):
            self._gate.accepted(mail.lease.site, result.source)
        return end

    async def _begin(self, mail: Mail) -> None:
        """Before the body of a message that is sent at most once."""
        await self._begun.mark(mail.ready)
        mail.begun = True

    async def _not_permitted(self, mail: Mail, line: SiteLine, source: str, rate: str) -> End | NotNow | None:
        """Why the message may not go right now; None: it may, and counts in every limit. _LeaseOver, RedisAway."""
        while self._recorder.is_behind() and self._holds(mail):
            if self._stopping.is_set():
                raise _LeaseOver
            await asyncio.sleep(BEHIND_PAUSE_S)
        while (end := await self._withheld(mail)) is None:
            refused = await self._gate.permit(mail.lease.site, source, mail.ready, rate)
            if refused is None:
                # Mostly without asking again: a permit is for now.
                is_fresh = self._monotonic() - mail.checked_at <= FRESH_ENOUGH_S
                return self._barred(mail) if is_fresh else await self._withheld(mail)
            if refused.wait_ms > PATIENCE_MS[refused.scope]:
                return refused
            self._mark_slow(line, mail.place if refused.scope == "queue" else None, refused)
            await asyncio.sleep(refused.wait_ms / 1000)
        return end

    async def _withheld(self, mail: Mail) -> End | None:
        """The end of a message that must not be sent any more; None if it may be. _LeaseOver, _Stopped, RedisAway."""
        if self._retries.is_over(mail.ready.expires_at, self._now_ms()):
            return ends.expired(mail, self._now_ms())
        await self._freshen(mail)
        return self._barred(mail)

    def _barred(self, mail: Mail) -> End | None:
        """The same as far as it is known here."""
        now_ms = self._now_ms()
        if self._retries.is_over(mail.ready.expires_at, now_ms):
            return ends.expired(mail, now_ms)
        if mail.unwanted is not None:
            return self._unwanted(mail, mail.unwanted)
        if self._is_stopped(mail):
            raise _Stopped
        if not self._holds(mail):
            raise _LeaseOver
        return None

    async def _freshen(self, mail: Mail) -> None:
        """Asks again whether the message is wanted if it was last asked too long ago, and with it those that the other
        workers have and those next in line: where one has waited the others have, and each question is two round
        trips."""
        if self._monotonic() - mail.checked_at <= FRESH_S:
            return
        line = self._lines.get((mail.lease.site, self._gate.pool(mail.ready)))
        if line is None:
            return
        line.stale.append(mail)
        async with line.freshening:
            asked_at = self._monotonic()
            if asked_at - mail.checked_at <= FRESH_S:
                return
            together = [mail, *(one for one in line.stale if one is not mail), *line.soon(asked_at)]
            line.stale.clear()
            verdicts = await self._admission.check([one.ready for one in together], in_hand=True)
            for one, verdict in zip(together, verdicts, strict=True):
                one.checked_at, one.unwanted = asked_at, verdict

    def _holds(self, mail: Mail) -> bool:
        partition = mail.lease.partition
        return mail.epoch == self._epochs[partition] and self._monotonic() < self._held_until[partition]

    # Hold back

    async def _hold_back(self, mail: Mail, line: SiteLine, refused: NotNow) -> bool:
        """The message goes back in line, and what the same limit holds back waits with it. Whether this worker is of
        further use: not if it may have no connection while others have theirs."""
        now = self._monotonic()
        line.put_first(mail)
        if refused.scope in ("slot", "host") and line.connected > 0:
            line.full_until = now + refused.wait_ms / 1000
            return False
        place = mail.place if refused.scope == "queue" else None
        line.block(place, now + min(refused.wait_ms / 1000, LONGEST_BLOCK_S), now)
        await self._put_back(line.give_back(place, self._kept(line, refused)))
        # What this pool may not send, another one may: so its places are avoided, not the site.
        for one in line.places if refused.scope == "source" else (place,):
            self._mark_slow(line, one, refused)
        return True

    def _mark_slow(self, line: SiteLine, place: Place | None, refused: NotNow) -> None:
        """No more of it is taken while enough of it is in line."""
        until = self._monotonic() + min(refused.wait_ms / 1000, LONGEST_BLOCK_S) + LOOK_ROUND_S
        line.slow[place] = until, self._kept(line, refused)

    def _kept(self, line: SiteLine, refused: NotNow) -> int:
        """How many messages stay in line that this limit holds back: together with those of other limits no more than a
        small part of what a site may have in hand."""
        if self._limits.alone:
            return 0
        most = self._limits.in_flight // KEPT_PART // max(1, len(line.slow))
        return max(1, min(most, max(KEPT, int(refused.per_s * KEPT_S))))

    async def _put_back(self, mails: Iterable[Mail]) -> None:
        """To the ready queues, untried."""
        for partition, numbers in self._by_partition(mails).items():
            await self._release(partition, numbers)

    def _by_partition(self, mails: Iterable[Mail]) -> dict[int, list[int]]:
        """They are in hand no more."""
        numbers: dict[int, list[int]] = defaultdict(list)
        for mail in mails:
            numbers[mail.lease.partition].append(mail.lease.number)
            self._forget(mail)
        return numbers

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
    if not isinstance(ready, events.Ready) or not 0 <= ready.ordinal <= ids.MAX_ORDINAL:
        raise ValueError("not a message of a job")
    ids.job_bytes(ready.job)
    return ready
