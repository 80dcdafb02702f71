"""When addresses were last heard of: noted from the events that the service reads anyway, a batch at a time.

Most facts are deliveries and openings, which are passed over undecoded. What is left is a click in a hundred mails or
so: one look-up of its recipient, in chunks that are kept, and one script call for each partition that a batch has. An
address takes about fifteen bytes beside itself.
"""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from services.suppression import retention, signs
from services.suppression.addressees import Recipients, addresses
from services.suppression.escalation import Person
from services.suppression.retention import Seen, day_of
from shared.redis import addressed, bus, keys
from shared.redis.addressed import Addressed
from shared.redis.redis import Client, Script
from shared.redis.suppression import normalised
from shared.words import events
from shared.words.ids import address_partition

#: Facts that may come from a person: all others are passed over undecoded.
NAMES = frozenset(("Clicked", "DocumentOpened", "Unsubscribed", "OptedIn", "PreferencesChanged", "Replied"))
#: Addresses of one script call, and of several in one round trip.
_BATCH = 500
#: Script calls on their way at the same time, each on a connection of its own; other commands come in between.
_AT_ONCE = 8

_NOTE = Script.of(__file__, "interactions_note", begins=addressed.LUA, kept=True)


class Noted(NamedTuple):
    """A normalised address of a tenant was heard of on that day, or the tenant was warned on that day; 0: neither."""

    tenant: str
    address: str
    last_day: int
    warned_day: int = 0


class Interactions:
    """Raises RedisAway. Everything may be done twice."""

    def __init__(self, client: Client, partitions: int) -> None:
        self._client = client
        self._partitions = partitions
        self._map = Addressed(client, partitions, keys.interactions)

    async def get(self, tenant: str, address: str) -> Seen:
        """What is noted of a normalised address."""
        stored = await self._map.get(tenant, address)
        return Seen() if stored is None else retention.decode(stored)

    async def note(self, noted: Sequence[Noted]) -> int:
        """How many were news."""
        places: dict[tuple[int, str], dict[str, tuple[int, int]]] = defaultdict(dict)
        for tenant, address, last_day, warned_day in noted:
            there = places[address_partition(tenant, address, self._partitions), tenant]
            known = there.get(address, (0, 0))
            there[address] = max(known[0], last_day), max(known[1], warned_day)
        calls: list[tuple[list[str], list[str | bytes | int]]] = []
        for (p, tenant), there in places.items():
            some = list(there.items())
            for start in range(0, len(some), _BATCH):
                args: list[str | bytes | int] = []
                for address, days in some[start : start + _BATCH]:
                    args += [address, *days]
                calls.append(([keys.interactions(p, tenant)], args))
        if len(noted) <= _BATCH:
            return sum(await _NOTE.each(self._client, calls))
        news = 0
        for start in range(0, len(calls), _AT_ONCE):
            news += sum(await asyncio.gather(*(_NOTE(self._client, *call) for call in calls[start : start + _AT_ONCE])))
        return news


class Noting:
    """Reads facts, and notes of whom they tell."""

    def __init__(self, interactions: Interactions, recipients: Recipients) -> None:
        self._interactions = interactions
        self._recipients = recipients

    async def apply(self, entries: Sequence[bus.Entry]) -> None:
        """Entries of `events`. One that cannot be understood is passed over here: who lists addresses buries it.
        RedisAway."""
        facts = [fact for entry in entries if entry.name in NAMES and (fact := _of_a_person(entry)) is not None]
        if facts:
            found = await addresses(self._recipients, facts)
            named = [(fact, fact.email or found.get((fact.job, fact.ordinal))) for fact in facts]
            noted = [Noted(fact.tenant, normalised(email), day_of(fact.occurred_at)) for fact, email in named if email]
            await self._interactions.note(noted)


def _of_a_person(entry: bus.Entry) -> events.Fact | None:
    try:
        fact = entry.message()
    except bus.DeadLetter:
        return None
    if not isinstance(fact, events.Fact):
        return None
    if isinstance(fact, events.DocumentOpened):
        return fact if fact.is_by_person else None
    if isinstance(fact, events.Clicked) and not isinstance(signs.seen(fact), Person):
        return None
    return fact
