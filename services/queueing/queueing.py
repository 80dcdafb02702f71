"""The main path of queueing: from a chunk of a job to messages in ready queues.

A chunk is queued in five steps, each of which may be repeated without changing what the first time did, so a crash
anywhere loses and doubles nothing:

1. decide   for each recipient a site, or why it is not queued; the plan is written down once, and a repeat follows it
            (DNS and the suppression list may say something else by then). Who has a place in the operation that the
            job names, and whom marketing pressure lets through, is counted before that, once a message; who is not
            queued after all is given back after it
2. record   Accepted, Suppressed, Rejected; a final fact is stored once per message
3. enqueue  each partition's share in one script, marked, so that a repeat adds nothing; with the first chunk the
            tenant's seed list gets a copy
4. finish   the chunk is packed slim and its entry leaves `intake`, in one script
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec
import structlog
from prometheus_client import Counter, Histogram

from services.queueing.plan import (
    Decision,
    cancelled,
    decide,
    facts_of,
    first_queued,
    left_out,
    mails_of,
    marks_of,
    places_of,
    ready_of,
    timed,
    tracked_as,
)
from services.queueing.store import Head, JobStore
from shared.mail.addresses import domain_of
from shared.process.lifecycle import pause
from shared.process.tracing import Span, Tracer
from shared.redis import bus, recipients
from shared.redis.cancels import Cancel
from shared.redis.keys import Channel
from shared.redis.once import Mark
from shared.redis.pressure import Mail
from shared.redis.ready import (
    Queued,
    ReadyQueues,
    queue_of,
)
from shared.redis.recipients import Waiting
from shared.redis.redis import RedisAway
from shared.redis.suppression import Asked
from shared.words import events, ids, once
from shared.words.consent import Rules, State, declared, held, is_tracked
from shared.words.pressure import PRESSURE
from shared.words.sites import SANDBOX
from shared.words.usual_hours import UsualHours, ranked

QUEUED = Counter("estafette_queueing_recipients_total", "Recipients decided, by what became of them", ["fact"])
LEFT_OUT = Counter("estafette_queueing_left_out_total", "Recipients who are not mailed, by why", ["reason"])
CHUNK_SECONDS = Histogram("estafette_queueing_chunk_seconds", "Time to queue a chunk of a job")
REMOVED = Counter("estafette_queueing_open_jobs_removed_total", "Open jobs that nobody started in time")
#: By what the messages of a job leave.
CHANNEL: Channel = "email"
#: Between two sweeps over all partitions.
SWEEP_SECONDS = 10.0
_queued = {word: QUEUED.labels(word) for word in ("accepted", "suppressed", "rejected", "cancelled")}


#: Of a tenant of whose recipients nothing is known.
NO_CONSENTS: tuple[Rules, list[State] | None] = (Rules(), None)
_plan_decoder = msgspec.msgpack.Decoder(list[Decision])


class Suppressions(Protocol):
    async def check(self, asked: Sequence[Asked]) -> list[str | None]: ...


class Consents(Protocol):
    async def of(self, tenant: str, addresses: Sequence[str]) -> tuple[Rules, list[State] | None]:
        """The tenant's rules, and what each address agreed to; None where nobody did, and the rules are as always."""


class Pressure(Protocol):
    async def is_counted(self, tenant: str, stream: str) -> bool:
        """Whether there is any. Without, nobody asks for more."""

    async def count(self, tenant: str, stream: str, job: str, mails: Sequence[Mail]) -> list[bool]:
        """For each whether its address may get it; it is counted then. Of a repeat the same."""

    async def give_back(self, tenant: str, stream: str, job: str, mails: Sequence[Mail]) -> None:
        """They are not sent."""


class UsualHoursOf(Protocol):
    async def of(self, tenant: str, addresses: Sequence[str]) -> list[UsualHours]: ...


class Once(Protocol):
    async def count(self, tenant: str, job: str, marks: Sequence[Mark], now_ms: int) -> list[bool]:
        """For each whether its recipient had no other message of the operation. Of a repeat the same."""

    async def give_back(self, tenant: str, job: str, marks: Sequence[Mark]) -> None:
        """They are not sent."""


class Sites(Protocol):
    async def site_of(self, domain: str) -> str | None:
        """The site of a domain's mail; None if it takes none (no such domain, null MX)."""


class Routes(Protocol):
    def site_of(self, head: Head, domain: str) -> str | None:
        """The site of the named route by which this mail of the job goes; None: there is none for it."""


class Seeds(Protocol):
    async def copy(self, job: str, head: Head, example: Waiting) -> None:
        """Sends it to the tenant's seed list, once, as `example` gets it."""


class Cancels(Protocol):
    def of(self, job: str, tenant: str, stream: str) -> Cancel | None:
        """By what the job is cancelled; None if it is not."""


class Queueing:
    """Queues chunks. `now_ms` is the clock."""

    def __init__(
        self,
        store: JobStore,
        queues: ReadyQueues,
        suppressions: Suppressions,
        sites: Sites,
        publisher: bus.Publisher,
        cancels: Cancels,
        partitions: int,
        now_ms: Callable[[], int],
        tracer: Tracer | None = None,
        consents: Consents | None = None,
        pressure: Pressure | None = None,
        once: Once | None = None,
        routes: Routes | None = None,
        seeds: Seeds | None = None,
        usual_hours: UsualHoursOf | None = None,
    ) -> None:
        self._store = store
        self._queues = queues
        self._suppressions = suppressions
        self._sites = sites
        self._publisher = publisher
        self._cancels = cancels
        self._partitions = partitions
        self._now_ms = now_ms
        self._tracer = tracer
        self._consents = consents
        self._pressure = pressure
        self._once = once
        self._routes = routes
        self._seeds = seeds
        self._usual_hours = usual_hours
        self._log = structlog.get_logger("queueing")

    async def take(self, partition: int, entries: Sequence[bus.Entry]) -> None:
        """The call of the `intake` consumers: entries name chunks."""
        await asyncio.gather(*(self._queue_chunk(entry) for entry in entries))

    async def _queue_chunk(self, entry: bus.Entry) -> None:
        intake = entry.message()
        if not isinstance(intake, events.Intake):
            raise bus.DeadLetter(f"{entry.name} does not belong here")
        head = await self._store.head(intake.job)
        chunk = await self._store.chunk(intake.job, intake.first_ordinal)
        if head is None or chunk is None:
            raise bus.DeadLetter(f"job {intake.job} has no chunk at {intake.first_ordinal}")
        if chunk.slim:
            return  # finished by another; its entry goes with ours
        span = self._span(intake, head)
        with CHUNK_SECONDS.time():
            waiting = chunk.waiting()
            plan = await self._plan(intake, head, waiting)
            facts = list(facts_of(intake, waiting, plan, self._now_ms()))
            await self._publisher.publish(facts)
            await self._enqueue(intake, head, waiting, plan, span.context if span is not None else "")
            if self._seeds is not None and intake.first_ordinal == 0 and (example := first_queued(waiting, plan)):
                await self._seeds.copy(intake.job, head, example)
            if head.viewable:
                slim = recipients.pack_viewable(intake.first_ordinal, tracked_as(waiting, plan), head.operation)
            else:
                slim = recipients.pack_slim(intake.first_ordinal, waiting, head.operation)
            await self._store.finish(
                intake.tenant, intake.job, head.lane, intake.first_ordinal, slim, len(waiting), entry.stream_id
            )
        if span is not None:
            span.end({"recipients": len(waiting)})
        for fact in facts:
            _queued[type(fact).__name__.lower()].inc()
        for reason, count in left_out(facts).items():
            LEFT_OUT.labels(reason).inc(count)
        self._log.info("queued", **_said(intake, len(waiting)), request=head.request)

    def _span(self, intake: events.Intake, head: Head) -> Span | None:
        if self._tracer is None or not head.trace:
            return None
        return self._tracer.begin("queue", {"job": intake.job, "first_ordinal": intake.first_ordinal}, head.trace)

    async def _plan(self, intake: events.Intake, head: Head, waiting: Sequence[Waiting]) -> list[Decision]:
        known = await self._store.known_plan(intake.job, intake.first_ordinal)
        if known is None:
            by = self._cancels.of(intake.job, intake.tenant, head.stream)
            if by is None:
                plan = await self._first(intake, head, waiting, await self._decide(head, waiting))
                plan = await self._pressed(intake, head, waiting, plan)
                best = await self._best_hours(head, waiting, plan)
                plan = timed(intake, head, waiting, plan, best, self._now_ms())
            else:
                plan = cancelled(waiting, by)
            decided = msgspec.msgpack.encode(plan)
            known = await self._store.decide_plan(intake.job, intake.first_ordinal, decided)
        plan = _plan_decoder.decode(known)
        if self._pressure is not None and not head.test and await self._pressure.is_counted(intake.tenant, head.stream):
            # Somebody may have counted them, and died, or decided otherwise and come too late.
            unsent = mails_of(intake, waiting, plan, queued=False)
            await self._pressure.give_back(intake.tenant, head.stream, intake.job, unsent)
        if self._once is not None and head.operation:
            await self._once.give_back(intake.tenant, intake.job, marks_of(intake, head, waiting, plan, queued=False))
        return plan

    async def _first(
        self, intake: events.Intake, head: Head, waiting: Sequence[Waiting], plan: list[Decision]
    ) -> list[Decision]:
        """The plan without those who had a message of the operation. Before pressure, which counts none of them."""
        if self._once is None or not head.operation:
            return plan
        marks = marks_of(intake, head, waiting, plan, queued=True)
        allowed = iter(await self._once.count(intake.tenant, intake.job, marks, self._now_ms()))
        return [Decision(rejected=once.ALREADY_SENT) if one.site and not next(allowed) else one for one in plan]

    async def _pressed(
        self, intake: events.Intake, head: Head, waiting: Sequence[Waiting], plan: list[Decision]
    ) -> list[Decision]:
        """The plan without those who have had all the marketing that they may get. A test presses on nobody."""
        if self._pressure is None or head.test or not await self._pressure.is_counted(intake.tenant, head.stream):
            return plan
        mails = mails_of(intake, waiting, plan, queued=True)
        allowed = iter(await self._pressure.count(intake.tenant, head.stream, intake.job, mails))
        return [Decision(rejected=PRESSURE) if one.site and not next(allowed) else one for one in plan]

    async def _best_hours(
        self, head: Head, waiting: Sequence[Waiting], plan: Sequence[Decision]
    ) -> list[tuple[int, ...]]:
        """Of each the hours of the day at which they react, the best first; none where the job does not ask for them,
        or nothing is to be known of them. Asked for in one round trip."""
        found: list[tuple[int, ...]] = [()] * len(waiting)
        if self._usual_hours is None or head.timing is None or not head.timing.best_hour:
            return found
        known = [at for at, one in enumerate(plan) if one.site and not (one.untracked or waiting[at].untracked)]
        hours = await self._usual_hours.of(head.tenant, [waiting[at].email for at in known])
        for at, usual in zip(known, hours, strict=True):
            found[at] = ranked(usual)
        return found

    async def _decide(self, head: Head, waiting: Sequence[Waiting]) -> list[Decision]:
        open_ones = [recipient for recipient in waiting if recipient.rejected is None]
        reasons, consents = await asyncio.gather(
            self._suppressions.check(
                [Asked(head.tenant, recipient.email, CHANNEL, head.stream, head.list) for recipient in open_ones]
            ),
            self._consents_of(head, open_ones),
        )
        domains = {domain_of(recipient.email) for recipient in open_ones}
        found = await asyncio.gather(*(self._site_of(head, domain) for domain in domains))
        sites = dict(zip(domains, found, strict=True))
        decisions = iter(
            decide(reason, sites[domain_of(recipient.email)], *consent)
            for recipient, reason, consent in zip(open_ones, reasons, consents, strict=True)
        )
        return [
            Decision(rejected=recipient.rejected) if recipient.rejected is not None else next(decisions)
            for recipient in waiting
        ]

    async def _site_of(self, head: Head, domain: str) -> str | None:
        if head.sandbox:  # nobody is asked where its mail goes, for it does not go there
            return SANDBOX
        named = self._routes.site_of(head, domain) if self._routes is not None else None
        return named or await self._sites.site_of(domain)

    async def _consents_of(self, head: Head, waiting: Sequence[Waiting]) -> list[tuple[str | None, bool]]:
        """Of each why they are not to be mailed, or None, and whether nothing is to be recorded about them."""
        rules, states = NO_CONSENTS
        if self._consents is not None:
            rules, states = await self._consents.of(head.tenant, [one.email for one in waiting])
        if states is None:
            return [(None, False)] * len(waiting)
        found = []
        for one, state in zip(waiting, states, strict=True):
            said = declared(one.declared)
            found.append((held(head.stream, rules, said, state), not is_tracked(rules, said, state)))
        return found

    async def _enqueue(
        self, intake: events.Intake, head: Head, waiting: Sequence[Waiting], plan: Sequence[Decision], trace: str
    ) -> None:
        shares: dict[int, list[Queued]] = defaultdict(list)
        traced = self._tracer.messages_per_job if self._tracer is not None and trace else 0
        lane, queue = head.lane, queue_of(intake.tenant, intake.job, head.rate)
        places = places_of(head, waiting)
        for at, (recipient, decision) in enumerate(zip(waiting, plan, strict=True)):
            if decision.site:
                partition = ids.name_partition(decision.site, self._partitions)
                ordinal = intake.first_ordinal + at
                ready = ready_of(
                    intake, head, ordinal, recipient, trace if ordinal < traced else "", decision, places[at]
                )
                message = Queued(lane, decision.site, queue, events.encode(ready), head.expires_at_ms, decision.due_ms)
                shares[partition].append(message)
        await asyncio.gather(
            *(
                self._queues.enqueue(partition, intake.job, intake.first_ordinal, share)
                for partition, share in shares.items()
            )
        )

    async def sweep(self, stopping: asyncio.Event) -> None:
        """Removes open jobs that nobody has started in time, and counts anew whose chunks wait, every few seconds."""
        while not stopping.is_set():
            try:
                for partition in range(self._partitions):
                    for job, request in await self._store.remove_open(partition, self._now_ms()):
                        REMOVED.inc()
                        self._log.info("open_job_removed", job=job, request=request)
                    await self._store.count_intake(partition)
            except RedisAway as away:
                self._log.warning("redis_away", reason=str(away))
            await pause(stopping, SWEEP_SECONDS)

    async def start_scheduled(self, stopping: asyncio.Event) -> None:
        """Starts jobs when their time has come, to the second."""
        while not stopping.is_set():
            try:
                for partition in range(self._partitions):
                    for job in await self._store.due(partition, self._now_ms()):
                        word, _ = await self._store.start("", job, self._now_ms())
                        self._log.info("started", job=job, state=word, request=await self._store.request_of(job))
            except RedisAway as away:
                self._log.warning("redis_away", reason=str(away))
            await pause(stopping, 1.0)


def _said(intake: events.Intake, count: int) -> dict[str, Any]:
    """Of a chunk, in its line: the message, or the first and the last of many."""
    first = intake.first_ordinal
    if count == 1:
        named = {"message": ids.message_id(intake.job, first)}
    else:
        last = first + count - 1
        named = {"message": ids.message_id(intake.job, first), "last_message": ids.message_id(intake.job, last)}
    return {"job": intake.job, **named, "recipients": count}
