"""At which hours of the day people react to bulk: noted from openings and clicks, for jobs that ask for the best hour.

What machines fetch is passed over, as are tests and mail that is waited for, which says when somebody asked for it. Of
who withdrew their consent to be tracked nothing is noted: the script that counts looks at that in the same step, and
the one that writes such a consent down takes away what there is. What is left is one script call for each partition
that a batch has.

A batch that comes again counts nothing again: an hour of somebody's counts once (`shared.words.usual_hours`).
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence

from prometheus_client import Counter

from services.suppression.addressees import Recipients, addresses
from services.suppression.changing import Value, change
from shared.net.remembered import Remembered
from shared.process import logs
from shared.process.lifecycle import pause
from shared.redis import addressed, bus, jobs, keys, lua
from shared.redis.addressed import Addressed, Place
from shared.redis.redis import Client, RedisAway, Script
from shared.redis.suppression import normalised
from shared.redis.tenants import Tenant
from shared.words import events, usual_hours
from shared.words.consent import ANSWERS, MARKETING_STREAM, State
from shared.words.ids import address_partition
from shared.words.usual_hours import DAY_HOURS, HOUR_MS, MOST

NOTED = Counter("estafette_suppression_reactions_total", "Hours in which people opened or clicked, as they were noted")
#: All other facts are passed over undecoded.
NAMES = frozenset(("Opened", "Clicked", "DocumentOpened"))
#: Jobs of which is kept whether they count.
_JOBS_KEPT = 10_000
#: Addresses that a sweep reads at a time, and how long after one the next begins: what is kept is kept for months.
_SWEPT = 500
SWEEP_SECONDS = 21_600.0

_NOTE = Script.of(__file__, "reactions_note", begins=addressed.LUA, names=lua.places(STATE=State))
_log = logs.get_logger()


class Reactions:
    """Reads facts, and notes the hours of whom they tell. `days`: for how many they are kept, 0: not at all. `now_ms`
    is the clock. Raises RedisAway. Everything may be done twice."""

    def __init__(
        self, client: Client, partitions: int, recipients: Recipients, days: int, now_ms: Callable[[], int]
    ) -> None:
        self._client = client
        self._partitions = partitions
        self._recipients = recipients
        self._hours_kept = days * DAY_HOURS
        self._now_ms = now_ms
        self._map = Addressed(client, partitions, keys.usual_hours)
        self._counting = Remembered[str, bool](_JOBS_KEPT)

    async def apply(self, entries: Sequence[bus.Entry]) -> None:
        """Entries of `events`. One that cannot be understood is passed over: who lists addresses buries it."""
        if not self._hours_kept:
            return
        facts = [fact for entry in entries if entry.name in NAMES and (fact := _by_a_person(entry)) is not None]
        counting = await self._jobs_that_count({fact.job for fact in facts if fact.job})
        facts = [fact for fact in facts if fact.job in counting]
        if facts:
            found = await addresses(self._recipients, facts)
            named = [(fact, fact.email or found.get((fact.job, fact.ordinal))) for fact in facts]
            await self._note((fact.tenant, normalised(email), fact.occurred_at) for fact, email in named if email)

    async def _jobs_that_count(self, names: Iterable[str]) -> set[str]:
        """Jobs of bulk that are kept and no tests."""
        known = {name: self._counting.known(name) for name in names}
        new = [name for name, counts in known.items() if counts is None]
        found = await jobs.read_many(self._client, self._partitions, new, (jobs.STREAM, jobs.TEST))
        for name, job in zip(new, found, strict=True):
            known[name] = job[jobs.STREAM] == MARKETING_STREAM and not job[jobs.TEST]
            self._counting.keep(name, bool(known[name]))
        return {name for name, counts in known.items() if counts}

    async def _note(self, reactions: Iterable[tuple[str, str, int]]) -> None:
        """Tenant, normalised address and time of each."""
        places: dict[tuple[int, str], set[tuple[int, str]]] = defaultdict(set)
        for tenant, address, at_ms in reactions:
            places[address_partition(tenant, address, self._partitions), tenant].add((at_ms // HOUR_MS, address))
        calls: list[tuple[list[str], list[str | bytes | int]]] = []
        for (p, tenant), some in places.items():
            args: list[str | bytes | int] = [self._now_ms() // HOUR_MS, MOST, ANSWERS.index("no")]
            for hour, address in sorted(some):
                args += [address, hour]
            calls.append(([keys.usual_hours(p, tenant), keys.consents(p, tenant)], args))
        NOTED.inc(sum(await _NOTE.each(self._client, calls)))

    async def sweep(self, tenant: str) -> int:
        """Removes what is older than it may be, and says of how many."""
        oldest, gone = self._now_ms() // HOUR_MS - self._hours_kept, 0
        place: Place | None = Place()
        while place is not None:
            held, place = await self._map.page(tenant, place, _SWEPT)
            over = [
                Value(keys.usual_hours, tenant, one.address, one.value, b"")
                for one in held
                if usual_hours.decode(one.value).last_hour <= oldest
            ]
            gone += sum(await change(self._client, self._partitions, over))
        return gone

    async def sweep_forever(self, tenants: Callable[[], Awaitable[Sequence[Tenant]]], stopping: asyncio.Event) -> None:
        """Of every tenant, until `stopping`."""
        while not stopping.is_set():
            try:
                gone = sum([await self.sweep(tenant.name) for tenant in await tenants()])
            except RedisAway as away:
                _log.warning("sweep_failed", reason=str(away))
            else:
                if gone:
                    _log.info("usual_hours_removed", addresses=gone)
            await pause(stopping, SWEEP_SECONDS)


def _by_a_person(entry: bus.Entry) -> events.Fact | None:
    try:
        fact = entry.message()
    except bus.DeadLetter:
        return None
    match fact:
        case events.Opened() | events.Clicked() | events.DocumentOpened() if fact.is_by_person:
            return fact
    return None
