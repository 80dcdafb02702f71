"""The workers of a relay: each takes messages of one line, one after the other, over at most one connection.

Rules:

- A worker is a connection: a site with many messages gets more of them, up to its limit, and none when it is idle.
- Who finds that a host may not be dialled now (`hosts`) has tried nothing: the message stays in line where the host
  answers, and comes back later where it does not, the attempt still before it.
- A bug in an attempt defers the message.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Protocol

import structlog
from prometheus_client import Gauge, Histogram

from services.relay.aside import Aside
from services.relay.attempts import count_answer
from services.relay.delivery.courier import Courier, Parcel, Result
from services.relay.held import Clock, Held
from services.relay.lines import LONGEST_BLOCK_S, Lines, SiteLine
from services.relay.making.making import Outdated
from services.relay.message import ends
from services.relay.message.line import Line
from services.relay.message.mail import End, Made, Mail, Unmade
from services.relay.message.retry import Retries
from services.relay.permission import LeaseOver, Permission, Stopped
from services.relay.recorder import Recorder
from services.relay.turns import Turns
from services.relay.words.notnow import NotNow
from services.relay.words.outlet import Outlet
from shared.process.lifecycle import cancelled
from shared.redis.ready import BULK
from shared.redis.redis import RedisAway
from shared.words import events

#: A worker without mail and without a connection ends after this. One with a connection waits as long as its site lets
#: that be idle (`Gate.idle_s`).
UNCONNECTED_S = 5.0
#: An idle worker looks so often whether its connection is still wanted.
LOOK_ROUND_S = 1.0
#: After an outage of Redis the message is tried again.
AWAY_PAUSE_S = 0.1

CONNECTIONS = Gauge("estafette_relay_connections", "Workers, each with at most one connection")
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

    def check(self, mail: Mail) -> None:
        """The mail is about to leave. Outdated: it has to be made again."""


class Gate(Protocol):
    """What limits and addresses allow (`gate`)."""

    def outlet(self, site: str, ready: events.Ready) -> Outlet:
        """The source addresses that the message leaves by, and whose the connections are."""

    def connections(self, site: str) -> int:
        """How many connections a process may have to the site, as far as one can tell without asking."""

    def idle_s(self, site: str) -> float:
        """How long a connection to the site may stay open without a message."""

    def has_many_hosts(self, site: str) -> bool:
        """One of its hosts says nothing of the others."""

    def has_source(self, site: str, pool: str) -> bool:
        """There is an address by which mail may leave now."""

    def accepted(self, site: str, source: str) -> None:
        """The site took a message."""

    def tell_limits(self, site: str) -> None:
        """To operators, who ask under which limits it is sent there."""


class Begun(Protocol):
    async def mark(self, ready: events.Ready) -> None:
        """On record when it returns: this attempt of a message has begun. RedisAway."""


class Workers:
    """All of a relay. `new_courier` makes one for a site and an outlet."""

    def __init__(
        self,
        held: Held,
        lines: Lines,
        permission: Permission,
        making: Making,
        new_courier: Callable[[str, Outlet], Courier],
        begun: Begun,
        retries: Retries,
        recorder: Recorder,
        gate: Gate,
        aside: Aside,
        clock: Clock,
    ) -> None:
        self._held = held
        self._lines = lines
        self._permission = permission
        self._making = making
        self._new_courier = new_courier
        self._begun = begun
        self._retries = retries
        self._recorder = recorder
        self._gate = gate
        self._aside = aside
        self._turns = Turns()
        self._now_ms = clock.now_ms
        self._monotonic = clock.monotonic
        self._log = structlog.get_logger("relay")

    def put_in_line(self, mail: Mail) -> SiteLine:
        """The line that the message waits in; there are workers for it."""
        line = self._lines.at(mail.lease.site, self._gate.outlet(mail.lease.site, mail.ready), mail.lease.partition)
        line.put(mail)
        line.arrived.set()
        self._staff(line)
        return line

    def reconsider(self, line: SiteLine) -> list[Mail]:
        """Limits or source addresses are others now: what was held back in the line is asked again. If any of it leaves
        by other addresses, all of it is taken out, to come anew: that is returned."""
        is_elsewhere = any(self._gate.outlet(line.site, mail.ready) != line.outlet for mail in line)
        out = line.give_back(None, 0) if is_elsewhere else []
        line.reopen()
        line.arrived.set()
        self._gate.tell_limits(line.site)
        self._staff(line)
        return out

    async def ended(self) -> None:
        """Once each has brought the message that it has to an end: they take no more when the relay drains."""
        await asyncio.gather(*self._all(), return_exceptions=True)

    async def cancel(self) -> None:
        await cancelled(self._all())

    def _all(self) -> list[asyncio.Task[None]]:
        return [worker for line in self._lines for worker in line.workers]

    def _staff(self, line: SiteLine) -> None:
        limit = min(self._gate.connections(line.site), self._held.limits.connections_per_site)
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
        if len(line) and not self._held.draining.is_set():
            self._staff(line)
        elif not line.workers:
            self._lines.end(line)

    async def _work(self, line: SiteLine) -> None:
        """One worker: takes messages of its line until there have been none for a while."""
        courier, bulk = self._new_courier(line.site, line.outlet), 0
        try:
            while (mail := await self._next(line, courier)) is not None:
                if mail.lease.lane == BULK:
                    if (its_turn := self._turns.begin(bulk)) is not None:
                        await its_turn
                    bulk += 1
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
            if self._held.draining.is_set() or (is_idle and (wait_s is None or line.idle > 0)):
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
        """One message, to the end of this attempt: recorded, held back, parked, or dropped because its lease may be
        over. Whether this worker is of further use."""
        while self._held.holds(mail):
            try:
                end = await self._end_of(mail, line, courier)
            except LeaseOver:
                break
            except Outdated:
                continue
            except Stopped:
                await self._aside.put(self._held.taken_out([mail]))
                return True
            except RedisAway:
                if self._held.draining.is_set():
                    break
                await asyncio.sleep(AWAY_PAUSE_S)
                continue
            except Exception as fault:  # ours: it must not hold the message for ever, nor lose it
                self._log.exception("attempt_failed", message=mail.message_id, job=mail.ready.job)
                why = Unmade("internal_error", type(fault).__name__, final=False)
                now_ms = self._now_ms()
                end = ends.unknown(mail, now_ms) if mail.begun else ends.unmade(mail, why, now_ms, self._retries)
            if isinstance(end, NotNow):
                if end.scope == "source" and self._gate.has_source(line.site, line.outlet.pool):
                    await courier.close()
                    continue  # by another address
                if end.scope == "host" and not (end.is_busy and not self._gate.has_many_hosts(line.site)):
                    self._recorder.add(ends.untried(mail, end, self._now_ms(), self._retries))
                    return True
                return await self._hold_back(mail, line, end)
            self._recorder.add(end)
            return True
        self._held.forget(mail)
        return True

    async def _end_of(self, mail: Mail, line: SiteLine, courier: Courier) -> End | NotNow:
        ready = mail.ready
        if (end := await self._permission.withheld(mail, line)) is not None:
            return end
        if not courier.is_open and (shut := await courier.shut(mail.domain)) is not None:
            return shut
        made = await self._making.made(mail)
        now_ms = self._now_ms()
        if ready.trace is not None:
            mail.began_ms = now_ms
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
            parcel, lambda source: self._may_go(mail, line, source, made.rate)
        )
        self._making.settle(mail, keep=isinstance(result, NotNow))
        if not isinstance(result, Result):
            return result
        count_answer(line.site, result.answer)
        if ready.attempt == 1:
            READY_AGE.observe(events.sequence(ready.job, now_ms) / 1000)
        end = ends.attempted(mail, made.stream, len(made.message), result, now_ms, self._now_ms(), self._retries)
        if isinstance(end.fact, events.Delivered):
            self._gate.accepted(mail.lease.site, result.source)
        return end

    async def _may_go(self, mail: Mail, line: SiteLine, source: str, rate: str) -> End | NotNow | None:
        """Right before it goes. A host may have taken its time to greet: what it waits with is looked at again, too."""
        refused = await self._permission.refused(mail, line, source, rate)
        if refused is None:
            self._making.check(mail)
        return refused

    async def _begin(self, mail: Mail) -> None:
        """Before the body of a message that is sent at most once."""
        await self._begun.mark(mail.ready)
        mail.begun = True

    async def _hold_back(self, mail: Mail, line: SiteLine, refused: NotNow) -> bool:
        """The message goes back in line, and what the same limit holds back waits with it. Whether this worker is of
        further use: not if it may have no connection while others have theirs."""
        if self._gate.outlet(line.site, mail.ready) != line.outlet:  # pools are others now
            await self._held.put_back([mail])
            return True
        now = self._monotonic()
        line.put_first(mail)
        if refused.scope in ("slot", "host") and line.connected > 0:
            line.full_until = now + refused.wait_ms / 1000
            return False
        place = mail.place if refused.scope == "queue" else None
        line.block(place, now + min(refused.wait_ms / 1000, LONGEST_BLOCK_S), now)
        await self._held.put_back(line.give_back(place, self._lines.kept(line, refused)))
        # What this pool may not send, another one may: so its places are avoided, not the site.
        for one in line.places if refused.scope == "source" else (place,):
            self._lines.mark_slow(line, one, refused, self._monotonic())
        return True
