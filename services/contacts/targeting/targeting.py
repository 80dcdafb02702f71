"""The main path: a job that waits for contacts gets those who belonged when it asked, in the order of their numbers.

    claim ──→ who belongs, written down once ──→ page after page ──→ all are handed over
      ↑                                           │   as many wait to be taken as may: put off for a moment
      ╰── put off: PostgreSQL is away ────────────╯

Whoever dies is followed, after ten seconds, by another, who goes on behind the last number that was handed over
(`shared.redis.targets`). A segment that is not there, or names a field that is none any more, ends it with that reason.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import msgspec
from prometheus_client import Counter, Gauge, Histogram

from services.contacts.base import store as base
from services.contacts.base.database import Conflict, Database, DatabaseAway, Row
from services.contacts.segments import store as segments
from services.contacts.segments.store import NotThere
from services.contacts.targeting import store
from services.contacts.targeting.recipient import Recipients, named, without
from shared.process import logs
from shared.process.lifecycle import pause
from shared.redis.recipients import Waiting, pack_page
from shared.redis.redis import RedisAway
from shared.redis.targets import DATABASE, PAGE, Asked, Meant, Targets
from shared.words import content, targets
from shared.words.errors import Problem

HANDED = Counter(
    "estafette_contacts_handed_total", "Contacts handed over to jobs, by whether they are excluded", ["why"]
)
TARGETED = Counter(
    "estafette_contacts_targeted_total", "Jobs that were sent to contacts, by how that ended", ["result"]
)
TARGETING = Gauge("estafette_contacts_targeting_jobs", "Jobs that this process hands contacts over to")
TAKE_SECONDS = Histogram(
    "estafette_contacts_take_seconds",
    "How long it took to write down who belongs to a job",
    buckets=(0.03, 0.1, 0.3, 1, 3, 10, 30),
)

#: Jobs of a process at a time.
AT_ONCE = 2
#: Contacts that are read at a time, and handed over in one step, in pages.
BATCH = 1_000
#: Between two looks, before a page is tried again that found no room, how often, and how long others have their turn
#: then; and until PostgreSQL is tried again.
LOOK_S, FULL_S, FULL_TIMES, TURN_MS, AWAY_MS = 0.3, 0.05, 20, 200, 2_000
#: Of contents that name more than so many variables, not all are told.
MOST_USES = 1_000
#: Who belonged is forgotten then; and between two looks for them.
KEPT_DAYS, FORGET_S = 30, 3_600.0
#: What is said of a segment that does not fit has no more.
_MAX_DETAIL_CHARS = 500

_log = logs.get_logger()


class Targeting:
    """`now_ms` is the clock."""

    def __init__(
        self, database: Database, handing: Targets, partitions: int, now_ms: Callable[[], int], batch: int = BATCH
    ) -> None:
        self._database = database
        self._handing = handing
        self._partitions = partitions
        self._now_ms = now_ms
        self._batch = batch

    async def work(self, stopping: asyncio.Event) -> None:
        """Until it is to stop."""
        await asyncio.gather(*(self._work(stopping) for _ in range(AT_ONCE)), self._tend(stopping))

    async def _work(self, stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            worked = False
            try:
                worked = await self.look(stopping)
            except (RedisAway, DatabaseAway) as away:
                _log.warning("targeting_away", reason=str(away))
            except Exception:  # ours: the job is taken up again, and others go on
                _log.exception("targeting_failed")
            if not worked:
                await pause(stopping, LOOK_S)

    async def _tend(self, stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            try:
                async with self._database.connection() as sql:
                    await store.forget(sql, KEPT_DAYS)
            except DatabaseAway:
                pass  # the next time
            await pause(stopping, FORGET_S)

    async def look(self, stopping: asyncio.Event) -> bool:
        """Once through all partitions; whether there was anything to do."""
        worked = False
        for p in range(self._partitions):
            if not stopping.is_set() and (job := await self._handing.claim(p, self._now_ms())) is not None:
                with TARGETING.track_inprogress():
                    await self.serve(job, stopping)
                worked = True
        return worked

    async def serve(self, job: str, stopping: asyncio.Event) -> None:
        """Hands over as much as there is room for. RedisAway."""
        asked = await self._handing.asked(job)
        if asked is None:
            await self._handing.leave(job)
            return
        try:
            await self._serve(asked, stopping)
        except NotThere:
            await self._end(asked, targets.UNKNOWN, "there is no such segment, or not any more")
        except Problem as problem:
            await self._end(asked, targets.UNREADABLE, _told(problem))
        except DatabaseAway as away:
            now_ms = self._now_ms()
            await self._handing.tell(job, now_ms, awaited=DATABASE, until_ms=now_ms + AWAY_MS)
            _log.warning("targeting_away", job=job, reason=str(away))

    async def _serve(self, asked: Asked, stopping: asyncio.Event) -> None:
        target = _target(asked)
        tenant, meant = await self._taken(asked, target)
        if not await self._handing.tell(asked.id, self._now_ms(), meant=meant):
            return
        uses = content.decode(asked.content).uses
        position, rest = asked.position, list[int]()
        while not stopping.is_set():
            async with self._database.transaction(repeatable=True) as sql:
                if not rest:
                    rest = await store.members(sql, tenant, asked.id, position) or []
                numbers, rest = rest[: self._batch], rest[self._batch :]
                rows = await store.page(sql, tenant, numbers) if numbers else []
                recipients = Recipients(asked.stream, await base.fields(sql, tenant), named(uses, MOST_USES))
            waiting = [recipients.of(row) for row in rows]
            if target.once_per_address:
                waiting = await self._once(asked, tenant, rows, waiting)
            last = numbers[-1] if numbers else position
            if not await self._hand(asked, position, last, waiting, stopping, is_end=not numbers):
                return
            position = last
            if not numbers:
                if target.once_per_address:
                    async with self._database.connection() as sql:
                        await store.free(sql, tenant, asked.id)
                TARGETED.labels("whole").inc()
                _log.info("targeted", job=asked.id, tenant=asked.tenant, selected=meant.selected)
                return

    async def _once(self, asked: Asked, tenant: int, rows: Sequence[Row], some: Sequence[Waiting]) -> list[Waiting]:
        """The same, but of contacts that share an address one alone is sent to. DatabaseAway."""
        pairs = list(zip(rows, some, strict=True))
        addressed = {row["contact"]: row["email_key"] for row, one in pairs if one.rejected is None}
        async with self._database.transaction() as sql:
            owners = await store.owners(sql, tenant, asked.id, addressed)
        return [without(one) if row["contact"] in addressed.keys() - owners else one for row, one in pairs]

    async def _taken(self, asked: Asked, target: targets.Target) -> tuple[int, Meant]:
        """The tenant, and who is meant: as it was written down, or now. NotThere, Problem, DatabaseAway."""
        with TAKE_SECONDS.time():
            async with self._database.transaction() as sql:
                tenant = (await base.tenant(sql, asked.tenant)).number
                await segments.make_built_in(sql, tenant)
            now = datetime.fromtimestamp(self._now_ms() / 1000, UTC)
            try:
                meant = await self._written(tenant, asked, target, now)
            except Conflict:  # another process did at the same time
                meant = await self._written(tenant, asked, target, now)
            async with self._database.transaction() as sql:
                await store.note_job(sql, tenant, asked, meant, now)
        return tenant, meant

    async def _written(self, tenant: int, asked: Asked, target: targets.Target, now: datetime) -> Meant:
        """Who is meant, written down if nobody did. Nothing is written here that is written by others too, so whatever
        they do meanwhile makes this moment no worse. Conflict."""
        async with self._database.transaction(repeatable=True) as sql:
            if (meant := await store.known(sql, tenant, asked.id)) is not None:
                return meant
            return await store.take(sql, tenant, asked, await store.find(sql, tenant, target), now)

    async def _hand(
        self,
        asked: Asked,
        after: int,
        last: int,
        waiting: Sequence[Waiting],
        stopping: asyncio.Event,
        *,
        is_end: bool,
    ) -> bool:
        """Waits a moment for room; whether to go on."""
        pages = [pack_page(waiting[at : at + PAGE]) for at in range(0, len(waiting), PAGE)]
        for _ in range(FULL_TIMES):
            word = await self._handing.hand(asked.id, after, last, pages, len(waiting), self._now_ms(), is_end=is_end)
            if word != "full":
                break
            await pause(stopping, FULL_S)
        match word:
            case "handed":
                for one in waiting:
                    HANDED.labels(one.rejected or "").inc()
                return True
            case "full" | "moved":  # somebody goes on from where it stands then
                await self._handing.put_off(asked.id, self._now_ms() + TURN_MS)
        return False

    async def _end(self, asked: Asked, why: str, detail: str) -> None:
        await self._handing.tell(asked.id, self._now_ms(), why=why, detail=detail)
        TARGETED.labels(why).inc()
        _log.info("not_targeted", job=asked.id, tenant=asked.tenant, reason=why)


def _target(asked: Asked) -> targets.Target:
    """Problem."""
    target, faults = targets.read(msgspec.json.decode(asked.selection))
    if target is None:
        raise Problem("invalid_segment", "what the job asks for is of a newer program", faults)
    return target


def _told(problem: Problem) -> str:
    """What is wrong, in a line."""
    faults = "; ".join(f"{fault.at}: {fault.what}" for fault in problem.faults or ())
    return f"{problem.detail}: {faults}"[:_MAX_DETAIL_CHARS] if faults else str(problem.detail)[:_MAX_DETAIL_CHARS]
