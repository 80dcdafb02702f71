"""Breakers: a job whose addresses are bad, and a tenant of whom recipients complain, are stopped by the facts.

But for renderings (`renderings`), what is judged is bulk; nobody's transactional or personal mail is counted or
stopped, and tests count nothing.

- A job: of the messages whose address was judged, that is, taken by a host or refused for the mailbox (bounces of kind
  hard and soft, late ones too; a block is about us), the share refused for good. Recipients rejected while queueing are
  not counted: they cost nobody anything, whoever sent the job was told in the answer, and they come before any
  delivery, so they would stop a list with a few misspelt lines before its first mail.
- A tenant: of the messages delivered on its last five days with deliveries, the share about which there were
  complaints since the first of these days. A complaint counts on the day it comes.

Facts may come twice. Counting is exact under repeats (`store`), and what a batch leads to is done before it is
acknowledged: after a crash it is decided again, from the same figures, and done once.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import structlog
from prometheus_client import Counter, Gauge

from services.breakers import renderings
from services.breakers.figures import (
    DAY_MS,
    JOB_STOPS,
    NAMES,
    TENANT_IS_WARNED,
    TENANT_STOPS,
    Counted,
    Figures,
    Seen,
    TenantDays,
    complaint_figures,
    first_day,
    seen,
)
from services.breakers.renderings import Rendered, Renderings
from shared.process.lifecycle import pause
from shared.redis import bus, stops
from shared.redis.redis import RedisAway
from shared.redis.stops import (
    RENDER_FAILED,
    Stop,
)
from shared.words import events

#: Most facts are passed over undecoded, so a batch is large.
BATCH = 500
#: A list that is all bad sends a few mails more until it is stopped.
GATHER_MS = 200
#: How often stops are looked at whose telling was cut short, or whose job has ended since.
SWEEP_S = 30.0
#: A tenant's days that are of no more use are removed once there are so many.
MAX_DAYS = 30

STOPPED = Counter("estafette_breakers_stopped_total", "Jobs and tenants that a breaker stopped", ["reason"])
WARNED = Counter("estafette_breakers_warned_total", "Tenants warned of their complaints")
AGE = Gauge("estafette_breakers_age_seconds", "Age of the latest batch of facts when it was judged")


#: What people do, and what else says nothing here, is most of what travels: it is not even read.
PASSED = frozenset(events.FACTS) - NAMES - renderings.NAMES


class FigureStore(Protocol):
    async def count(self, partition: int, batch: Sequence[Seen]) -> Counted: ...
    async def job(self, job: str) -> Figures: ...
    async def count_renderings(self, partition: int, batch: Sequence[Rendered]) -> Mapping[str, Renderings]: ...
    async def renderings(self, job: str) -> Renderings: ...
    async def tenant(self, tenant: str) -> TenantDays: ...
    async def forget_days(self, tenant: str, before: int) -> None: ...
    async def has_ended(self, job: str) -> bool: ...
    async def was_warned(self, tenant: str, day: int) -> bool: ...
    async def note_warned(self, tenant: str, day: int) -> None: ...


class StopList(Protocol):
    async def all(self) -> Mapping[str, Stop]: ...
    async def resumed(self, name: str) -> int: ...
    async def add(self, name: str, stop: Stop) -> bool: ...
    async def tell(self, name: str, seen: Stop, now_ms: int) -> bool: ...
    async def forget(self, name: str, seen: Stop) -> bool: ...
    async def resume(self, name: str, seen: Stop) -> bool: ...


class Publisher(Protocol):
    async def publish(self, facts: Sequence[events.Fact], patience_s: float = 2.0, batch: str = "") -> None: ...


class Breakers:
    """Judges by the facts. `now_ms` is the clock."""

    def __init__(
        self, figures: FigureStore, stop_list: StopList, publisher: Publisher, now_ms: Callable[[], int]
    ) -> None:
        self._figures = figures
        self._stops = stop_list
        self._publisher = publisher
        self._now_ms = now_ms
        self._log = structlog.get_logger("breakers")

    async def judge(self, partition: int, entries: Sequence[bus.Entry]) -> None:
        """The call of the consumer of `events`. DeadLetter if one of the entries cannot be understood."""
        batch = [found for entry in entries if entry.name in NAMES and (found := seen(entry.message())) is not None]
        if batch:
            counted = await self._figures.count(partition, batch)
            for job, figures in counted.jobs.items():
                if JOB_STOPS.exceeded(figures):
                    await self._judge_job(job, next(one.tenant for one in batch if one.job == job))
            for tenant in counted.tenants:
                await self._judge_tenant(tenant)
        await self._judge_renderings(partition, entries)
        AGE.set(max(0, self._now_ms() - int(entries[-1].stream_id.partition("-")[0])) / 1000)

    async def _judge_job(self, job: str, tenant: str) -> None:
        name = stops.of_job(job)
        # The number of resumes before the figures: a resume in between has begun them anew, and is counted.
        epoch = await self._stops.resumed(name)
        figures = await self._figures.job(job)
        if JOB_STOPS.exceeded(figures) and not await self._figures.has_ended(job):
            await self._stop(name, tenant, JOB_STOPS.reason, figures, epoch)

    async def _judge_renderings(self, partition: int, entries: Sequence[bus.Entry]) -> None:
        batch = [
            found
            for entry in entries
            if entry.name in renderings.NAMES and (found := renderings.rendered(entry.message())) is not None
        ]
        if not batch:
            return
        counted = await self._figures.count_renderings(partition, batch)
        for job, tenant in renderings.failing(batch, counted).items():
            name = stops.of_job(job)
            epoch = await self._stops.resumed(name)  # before the figures, as with a job's addresses
            figures = await self._figures.renderings(job)
            if figures.stops and not await self._figures.has_ended(job):
                await self._stop(name, tenant, RENDER_FAILED, Figures(figures.failed, figures.of), epoch)

    async def _judge_tenant(self, tenant: str) -> None:
        name = stops.of_tenant(tenant)
        epoch = await self._stops.resumed(name)
        days = await self._figures.tenant(tenant)
        figures = complaint_figures(days.delivered, days.complaints)
        if TENANT_STOPS.exceeded(figures):
            await self._stop(name, tenant, TENANT_STOPS.reason, figures, epoch)
        elif TENANT_IS_WARNED.exceeded(figures):
            await self._warn(tenant, figures)
        if len(days.delivered) + len(days.complaints) > MAX_DAYS:
            await self._figures.forget_days(tenant, first_day(days.delivered))

    async def _stop(self, name: str, tenant: str, reason: str, figures: Figures, epoch: int) -> None:
        stop = Stop(reason, tenant, self._now_ms(), "engine", figures.bad, figures.of, epoch)
        if await self._stops.add(name, stop):
            STOPPED.labels(reason).inc()
            self._log.warning("stopped", name=name, tenant=tenant, reason=reason, bad=figures.bad, of=figures.of)
            await self._tell(name, stop)

    async def _tell(self, name: str, stop: Stop) -> None:
        now_ms = self._now_ms()
        await self._publisher.publish([stopped(name, stop)], batch=f"stopped.{name}.{stop.since_ms}")
        await self._stops.tell(name, stop, now_ms)

    async def _warn(self, tenant: str, figures: Figures) -> None:
        now_ms = self._now_ms()
        day = now_ms // DAY_MS
        if await self._figures.was_warned(tenant, day):
            return
        fact = events.Warned(
            **events.about(tenant, now_ms, "warned", tenant, day),
            reason=TENANT_IS_WARNED.reason,
            bad=figures.bad,
            of=figures.of,
        )
        await self._publisher.publish([fact], batch=f"warned.{tenant}.{day}")
        await self._figures.note_warned(tenant, day)
        WARNED.inc()
        self._log.warning("warned", tenant=tenant, reason=fact.reason, bad=fact.bad, of=fact.of)

    async def sweep(self) -> None:
        """Tells stops whose telling was cut short, ends those whose time is over, and forgets those of jobs that have
        ended."""
        now_ms = self._now_ms()
        for name, stop in (await self._stops.all()).items():
            if stop.is_over(now_ms):
                if stop.tenant:
                    fact = resumed(name, stop, "engine", stop.until_ms)
                    await self._publisher.publish([fact], batch=f"resumed.{name}.{stop.since_ms}")
                await self._stops.resume(name, stop)
                continue
            if not stop.told_ms:
                await self._tell(name, stop)
            if (job := stops.job_of(name)) and await self._figures.has_ended(job):
                await self._stops.forget(name, stop)

    async def sweep_forever(self, stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            try:
                await self.sweep()
            except RedisAway as away:
                self._log.warning("redis_away", reason=str(away))
            await pause(stopping, SWEEP_S)


def stopped(name: str, stop: Stop) -> events.Stopped:
    """The fact of a stop."""
    return events.Stopped(**stops.about_stop(name, stop), reason=stop.reason, by=stop.by, bad=stop.bad, of=stop.of)


def resumed(name: str, stop: Stop, by: str, now_ms: int) -> events.Resumed:
    """The fact that it goes on, on the word of `by`."""
    return events.Resumed(**stops.about_resume(name, stop, now_ms), reason=stop.reason, by=by)
