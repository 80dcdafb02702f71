"""The main path of escalation: a batch of facts becomes counts; whose soft bounces are enough is listed, who shows is
revived.

Most facts are deliveries of addresses without a count: what they cost is a look-up, for all of a batch in one round
trip. For the others it is decided what they come to (`escalation.py`), and the count is changed if nobody has changed
it meanwhile; else it is read again.

Whatever dies in between, the facts come again. So an address is revived before its count says so (a repeat finds
nothing to revive), and listed after it (the bounce that listed it says so again when it comes again).
"""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, Protocol

from prometheus_client import Counter

from services.suppression import escalation, signs
from services.suppression.addressees import Recipients, addresses
from services.suppression.counts import Change
from services.suppression.escalation import Count, Name, Rules, Seen, Soft
from shared.redis import bus
from shared.redis.suppression import normalised
from shared.words import events

COUNTED = Counter("estafette_suppression_soft_bounces_total", "Soft bounces counted for their address", ["rule"])
ESCALATED = Counter("estafette_suppression_escalated_total", "Addresses listed for soft bounces in a row", ["rule"])
REVIVED = Counter("estafette_suppression_revived_total", "Addresses that a sign of life took off the list")

_counted = {name: COUNTED.labels(name) for name in escalation.NAMES}


class Sign(NamedTuple):
    """What is known of a normalised address by a fact; None for what was imported."""

    tenant: str
    address: str
    seen: Seen
    fact: events.Fact | None = None


class Enough(NamedTuple):
    """The bounces of a rule are enough: the address is to be listed, because of `sign`. `expires_at_ms` 0: never."""

    sign: Sign
    rule: Name
    expires_at_ms: int


class Store(Protocol):
    """May raise RedisAway."""

    async def get_many(self, asked: Sequence[tuple[str, str]]) -> list[Count | None]: ...

    async def are_there(self, tenant: str) -> bool: ...

    async def change(self, changes: Sequence[Change]) -> list[bool]: ...


class List(Protocol):
    """The suppression list. May raise RedisAway."""

    async def list_all(self, enough: Sequence[Enough]) -> None:
        """Lists each address; a repeat does nothing."""

    async def revive(self, tenant: str, address: str, at_ms: int) -> bool:
        """Takes away what escalation listed, for a sign of life of that time; whether there was such an entry."""


class Escalation:
    """`rules_of` gives those of a tenant."""

    def __init__(
        self, store: Store, listed: List, recipients: Recipients, rules_of: Callable[[str], Awaitable[Rules]]
    ) -> None:
        self._store = store
        self._list = listed
        self._recipients = recipients
        self._rules_of = rules_of

    async def apply(self, entries: Sequence[bus.Entry]) -> None:
        """A batch of `events`. DeadLetter if one that may list somebody cannot be understood."""
        await self.count(await self._signs(entries))

    async def count(self, found: Sequence[Sign]) -> None:
        """Counts; what comes again changes nothing."""
        waiting: dict[tuple[str, str], list[Sign]] = defaultdict(list)
        for sign in found:
            waiting[sign.tenant, sign.address].append(sign)
        while waiting:
            waiting = await self._round(waiting)

    async def _round(self, waiting: dict[tuple[str, str], list[Sign]]) -> dict[tuple[str, str], list[Sign]]:
        """As far as the first sign of each address that lists or revives it; what is left."""
        counts = await self._store.get_many(list(waiting))
        changes: list[Change] = []
        ends: list[tuple[Sign, escalation.Step, int]] = []
        for (whose, found), count in zip(waiting.items(), counts, strict=True):
            if count is None and not any(isinstance(sign.seen, Soft) for sign in found):
                continue
            last, taken, rules = escalation.Step(count), 0, await self._rules_of(whose[0])
            while taken < len(found) and last.lists is None and not last.revives:
                last = escalation.step(last.count, found[taken].seen, rules)
                taken += 1
            if last.revives and await self._list.revive(*whose, found[taken - 1].seen.at_ms):
                REVIVED.inc()
            changes.append(Change(*whose, count, last.count))
            ends.append((found[taken - 1], last, taken))
        return await self._end(waiting, changes, ends)

    async def _end(
        self,
        waiting: dict[tuple[str, str], list[Sign]],
        changes: Sequence[Change],
        ends: Sequence[tuple[Sign, escalation.Step, int]],
    ) -> dict[tuple[str, str], list[Sign]]:
        """Stores the counts, and lists whose are enough."""
        needed = [change for change in changes if change.old != change.new]
        made = iter(await self._store.change(needed))
        left: dict[tuple[str, str], list[Sign]] = {}
        enough: list[Enough] = []
        for change, (sign, last, taken) in zip(changes, ends, strict=True):
            whose = change.tenant, change.address
            if change.old != change.new and not next(made):
                left[whose] = waiting[whose]
                continue
            if last.lists is not None:
                rule = (await self._rules_of(change.tenant)).of(last.lists)
                enough.append(Enough(sign, last.lists, _expiry_ms(sign.seen.at_ms, rule)))
            if rest := waiting[whose][taken:]:
                left[whose] = rest
            _note(waiting[whose][:taken])
        await self._list.list_all(enough)
        for one in enough:
            ESCALATED.labels(one.rule).inc()
        return left

    async def _signs(self, entries: Sequence[bus.Entry]) -> list[Sign]:
        """Of the facts that say something of an address that is known; in their order."""
        found: list[tuple[events.Fact, Seen]] = []
        for entry in entries:
            if entry.name in signs.NAMES and (fact := _fact(entry)) is not None:
                said = signs.seen(fact)
                if said is not None:
                    found.append((fact, said))
        counting = await self._counting([(fact.tenant, said) for fact, said in found if not fact.email])
        nameless = [fact for fact, said in found if isinstance(said, Soft) or fact.tenant in counting]
        known = await addresses(self._recipients, nameless)
        named = [(fact, said, fact.email or known.get((fact.job, fact.ordinal))) for fact, said in found]
        return [Sign(fact.tenant, normalised(email), said, fact) for fact, said, email in named if email]

    async def _counting(self, nameless: Sequence[tuple[str, Seen]]) -> set[str]:
        """The tenants of signs of life that have counts: of the others such a sign begins none, and matters nothing."""
        tenants = {tenant for tenant, said in nameless if not isinstance(said, Soft)}
        return {tenant for tenant in tenants if await self._store.are_there(tenant)}


def _fact(entry: bus.Entry) -> events.Fact | None:
    try:
        message = entry.message()
    except bus.DeadLetter:
        if entry.name in signs.SIGNS_OF_LIFE:
            return None
        raise
    return message if isinstance(message, events.Fact) else None


def _expiry_ms(at_ms: int, rule: escalation.Rule) -> int:
    return at_ms + rule.expires_after_days * 86_400_000 if rule.expires_after_days else 0


def _note(counted: Sequence[Sign]) -> None:
    for sign in counted:
        if isinstance(sign.seen, Soft):
            _counted[sign.seen.rule].inc()
