"""What the tenant's base of contacts says of an address, applied to the list (E11, E12): a table of two words.

    opted_out   unsubscribed from marketing           opted_in   has left marketing no more, nor objects to it
    hard        gets nothing, as after a hard bounce  valid      what bounces said is over

As a file of addresses that says so (`moving/deciding.py`): a complaint, and what an operator or an erasure stops,
stays. Facts come again, and later than what happened meanwhile: what the list was told after this was said stays too.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from prometheus_client import Counter

from services.suppression.escalating import Sign
from services.suppression.escalation import Person
from services.suppression.store import Addition, Removal, Removed
from shared.redis.suppression import Listed, normalised
from shared.words import events, scopes
from shared.words.scopes import Entry, Reason, Source

STATED = Counter(
    "estafette_suppression_stated_total", "What bases of contacts said of addresses that changed their list", ["what"]
)

NAMES = frozenset(("AddressStated",))
#: On whose word an entry goes.
BY = "contacts"


class Store(Protocol):
    async def add(self, additions: Sequence[Addition]) -> list[bool]: ...

    async def remove(self, removals: Sequence[Removal]) -> list[Removed]: ...


class Lookup(Protocol):
    async def listed(self, tenant: str, addresses: Sequence[str]) -> list[Listed]: ...


class Counts(Protocol):
    async def count(self, found: Sequence[Sign]) -> None:
        """Signs of an address: one of life begins its count of soft bounces anew."""


class Stated:
    """Everything may be done twice. Every method raises RedisAway."""

    def __init__(self, store: Store, lookup: Lookup, counts: Counts) -> None:
        self._store = store
        self._lookup = lookup
        self._counts = counts

    async def apply(self, facts: Sequence[events.AddressStated]) -> None:
        """In their order. A file of a million comes at once, and who leaves by a link waits behind it: so facts of
        different addresses are applied together."""
        some: dict[tuple[str, str], events.AddressStated] = {}
        for fact in facts:
            if not fact.email:
                continue
            whose = fact.tenant, normalised(fact.email)
            if whose in some:
                await self._apply(some)
                some = {}
            some[whose] = fact
        await self._apply(some)

    async def _apply(self, some: Mapping[tuple[str, str], events.AddressStated]) -> None:
        added = [addition for (_, address), fact in some.items() for addition in _additions(fact, address)]
        entered = await self._store.add(added) if added else []
        for addition in (one for one, new in zip(added, entered, strict=True) if new):
            STATED.labels("left" if addition.reason == "unsubscribed" else "hard").inc()
        back = {whose: fact for whose, fact in some.items() if fact.state == "opted_in" or fact.kind == "valid"}
        removals: list[Removal] = []
        for tenant in {tenant for tenant, _ in back}:
            asked = [address for name, address in back if name == tenant]
            for address, listed in zip(asked, await self._lookup.listed(tenant, asked), strict=True):
                fact = back[tenant, address]
                removals += [_removal(fact, address, entry) for entry in listed.entries if _goes(fact, entry)]
        if removals:
            await self._store.remove(removals)
            STATED.labels("back").inc(len(removals))
        works = [(whose, fact) for whose, fact in back.items() if fact.kind == "valid"]
        await self._counts.count([Sign(*whose, Person(fact.occurred_at)) for whose, fact in works])


def _additions(fact: events.AddressStated, address: str) -> Iterator[Addition]:
    if fact.state == "opted_out":
        yield _addition(fact, address, "unsubscribed", scopes.MARKETING)
    if fact.kind == "hard":
        yield _addition(fact, address, "hard_bounce", scopes.ALL)


def _addition(fact: events.AddressStated, address: str, reason: Reason, scope: str) -> Addition:
    source: Source = "import" if fact.source.startswith("import") else "api"
    return Addition(
        fact.tenant,
        address,
        reason,
        fact.occurred_at,
        scope=scope,
        source=source,
        diagnostic=f"contacts: {fact.source}",
        event=events.event_id(fact.event_id, reason),
    )


def _goes(fact: events.AddressStated, entry: Entry) -> bool:
    if entry.channel != "email" or entry.last_ms > fact.occurred_at:
        return False
    back = fact.state == "opted_in" and entry.scope == scopes.MARKETING and entry.reason in scopes.LEFT
    return back or (fact.kind == "valid" and entry.reason in scopes.BOUNCED)


def _removal(fact: events.AddressStated, address: str, entry: Entry) -> Removal:
    event = events.event_id(fact.event_id, entry.scope)
    reasons = frozenset((entry.reason,))
    return Removal(fact.tenant, address, fact.occurred_at, BY, event, "email", entry.scope, reasons)
