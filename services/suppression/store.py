"""The lists in Redis: adding, removing and listing. What changes a list also stores the event that records it.

An address, its entries, what is known of them and the events about them are in one partition, so that each change is
one step: nobody sees a list without its event, or an event without its list.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import msgspec

from shared.process import clock
from shared.redis import bus, keys, lua, members
from shared.redis.addressed import Addressed, Place
from shared.redis.redis import Client, Script
from shared.redis.suppression import EVERYBODY, Listed, Said, SuppressionList, entries
from shared.words import events, scopes
from shared.words.ids import address_partition
from shared.words.scopes import Channel, Entry, Reason, Source

#: How long it is known that an event was applied: longer than any consumer repeats one.
REMEMBER_MS = 7 * 86_400_000
#: Addresses of one script call.
_BATCH = 500
#: Addresses that one page looks at for each that it may show, where only some are wanted.
_LOOKED_AT = 20

_told = {name: bus.PUBLISHED.labels(name) for name in ("Suppressed", "Reactivated")}


class Addition(NamedTuple):
    """A normalised address is to be listed.

    `tenant` is "" for the operator's list. `at_ms` is when that was said that lists it; `scope` "" is the usual one of
    the reason (`scopes.usual`). `event` is the fact that says so, if it is one: with `at_ms` it is applied once (who
    leaves again by the same link makes the same event, later); an addition without one is applied as often as it is
    made, which changes nothing but the time when it was said last. `job` and `ordinal` are the message that it is
    about. `is_told`: if the address enters, there is an event Suppressed of it (a file of millions may be told as one).
    """

    tenant: str
    address: str
    reason: Reason
    at_ms: int
    scope: str = ""
    channel: Channel = "email"
    source: Source = "event"
    diagnostic: str = ""
    expires_ms: int = 0
    event: str = ""
    job: str = ""
    ordinal: int = -1
    is_told: bool = True


class Removal(NamedTuple):
    """A normalised address is to leave a list: all its entries of that channel, that scope and those reasons (None:
    whichever), and never one that only an operator removes, unless `by_operator`, or an objection that is noted as
    consent, unless it is `taken_back`. `by` is on whose word, in one word; `event` the id of what is told of it.
    `is_told`: there is an event Reactivated of each entry."""

    tenant: str
    address: str
    at_ms: int
    by: str
    event: str
    channel: Channel | None = None
    scope: str | None = None
    reasons: frozenset[Reason] | None = None
    by_operator: bool = False
    is_told: bool = True
    taken_back: bool = False


class Removed(NamedTuple):
    """What became of a removal: the entries that are gone, and those that it would have removed but may not."""

    gone: tuple[Entry, ...]
    kept: tuple[Entry, ...]


class Chosen(NamedTuple):
    """Which entries a page shows; None: whichever."""

    reason: Reason | None = None
    channel: Channel | None = None
    scope: str | None = None

    def takes(self, entry: Entry) -> bool:
        return (
            self.reason in (None, entry.reason)
            and self.channel in (None, entry.channel)
            and self.scope in (None, entry.scope)
        )


class _Added(msgspec.Struct, frozen=True, array_like=True):
    """An addition as the script takes it: `said` is False for nothing, `mark` the place among the marks, from 1, 0 for
    none."""

    address: str
    entry: Entry
    said: Said | bool
    mark: int


class _Gone(msgspec.Struct, frozen=True, array_like=True):
    """An entry that is to go as the script takes it, if it is still for that reason."""

    address: str
    kind: int
    list: str
    strength: int


_ADD = Script.of(
    __file__,
    "store_add",
    begins=members.LUA,
    names=lua.places(ENTRY=Entry, SAID=Said, ADDED=_Added),
    kept=True,
)
_REMOVE = Script.of(__file__, "store_remove", begins=members.LUA, names=lua.places(ENTRY=Entry, GONE=_Gone), kept=True)


class Lists:
    """Every method raises RedisAway: what was asked may or may not have happened, and may be asked again."""

    def __init__(self, client: Client, partitions: int, now_ms: Callable[[], int] = clock.now_ms) -> None:
        self._client = client
        self._partitions = partitions
        self._lookup = SuppressionList(client, partitions, now_ms)
        self._map = Addressed(client, partitions, keys.suppressions)

    async def add(self, additions: Sequence[Addition]) -> list[bool]:
        """For each whether the address entered the list for that channel and scope; in the order of the additions of
        each address. ValueError names a scope that is none."""
        entered = [False] * len(additions)
        ready = [_entry(addition) for addition in additions]
        if any(addition.tenant == EVERYBODY for addition in additions):
            # First: who looks before the address is there finds nothing, and looks there from now on.
            await self._client.set(keys.suppressions_for_all(), "1")
        for (p, tenant), indexes in self._grouped([(one.tenant, one.address) for one in additions]):
            for start in range(0, len(indexes), _BATCH):
                part = indexes[start : start + _BATCH]
                found = await self._add(p, tenant, [(additions[index], ready[index]) for index in part])
                for index, number in zip(part, found, strict=True):
                    entered[index] = number == 1
        _told["Suppressed"].inc(sum(new and one.is_told for new, one in zip(entered, additions, strict=True)))
        return entered

    async def _add(self, p: int, tenant: str, some: Sequence[tuple[Addition, Entry]]) -> list[int]:
        names = [keys.events(p), keys.suppressions(p, tenant), keys.suppressions_said(p, tenant), keys.lists(p, tenant)]
        before = len(names)
        ready = []
        for addition, entry in some:
            if addition.event:
                names.append(keys.suppression_applied(p, addition.event, addition.at_ms))
            mark = len(names) - before if addition.event else 0
            ready.append(_Added(addition.address, entry, _known(addition, entry), mark))
        told = [_suppressed(addition, entry) if addition.is_told else b"" for addition, entry in some]
        args: list[str | bytes | int] = [REMEMBER_MS, events.MAJOR_VERSION, msgspec.msgpack.encode(ready), *told]
        found: list[int] = await _ADD(self._client, names, args)
        return found

    async def remove(self, removals: Sequence[Removal]) -> list[Removed]:
        """For each what is gone. Two removals of one entry at once, in two calls, are told once."""
        gone: list[list[Entry]] = [[] for _ in removals]
        known = await self._map.get_many([(one.tenant, one.address) for one in removals])
        wanted = [_leaving(one, entries(stored)) for one, stored in zip(removals, known, strict=True)]
        for (p, tenant), indexes in self._grouped([(one.tenant, one.address) for one in removals]):
            going = [(index, entry) for index in indexes for entry in wanted[index].gone]
            for start in range(0, len(going), _BATCH):
                part = going[start : start + _BATCH]
                names = [keys.events(p), keys.suppressions(p, tenant), keys.lists(p, tenant)]
                leaving = [_Gone(removals[i].address, one.kind, one.list, one.strength) for i, one in part]
                told = [_reactivated(removals[i], one) if removals[i].is_told else b"" for i, one in part]
                args: list[str | bytes | int] = [events.MAJOR_VERSION, msgspec.msgpack.encode(leaving), *told]
                found = await _REMOVE(self._client, names, args)
                for (index, entry), number in zip(part, found, strict=True):
                    if number:
                        gone[index].append(entry)
        _told["Reactivated"].inc(sum(len(some) for some, one in zip(gone, removals, strict=True) if one.is_told))
        return [Removed(tuple(one), two.kept) for one, two in zip(gone, wanted, strict=True)]

    def _grouped(self, some: Sequence[tuple[str, str]]) -> Iterable[tuple[tuple[int, str], list[int]]]:
        """Of tenants and addresses the places of those that are in one list and partition."""
        places: dict[tuple[int, str], list[int]] = defaultdict(list)
        for index, (tenant, address) in enumerate(some):
            places[address_partition(tenant, address, self._partitions), tenant].append(index)
        return places.items()

    async def page(
        self, tenant: str, after: Place, limit: int, chosen: Chosen | None = None
    ) -> tuple[list[Listed], Place | None]:
        """At most `limit` addresses behind that place, in an order that never changes, and the place to go on from,
        None at the end. What is on the list all the time is shown once, whatever else comes and goes. A page may have
        fewer than `limit`, even none, and yet a place to go on from: of a list of which few are `chosen`."""
        if chosen is None:
            held, following = await self._map.page(tenant, after, limit)
            listed = await self._lookup.told(tenant, [(one.address, entries(one.value)) for one in held])
            return [one for one in listed if one.entries], following
        found: list[Listed] = []
        place: Place | None = after
        for _ in range(_LOOKED_AT):
            if place is None or len(found) >= limit:
                break
            held, place = await self._map.page(tenant, place, limit - len(found))
            some = [(one.address, entries(one.value)) for one in held]
            fitting = [(address, stored) for address, stored in some if any(map(chosen.takes, stored))]
            told = await self._lookup.told(tenant, fitting)
            found += [one for one in told if any(map(chosen.takes, one.entries))]
        return found, place


def _entry(addition: Addition) -> Entry:
    return scopes.entry(
        addition.reason,
        addition.scope or scopes.usual(addition.reason),
        channel=addition.channel,
        source=addition.source,
        at_ms=addition.at_ms,
        expires_ms=addition.expires_ms,
    )


def _known(addition: Addition, entry: Entry) -> Said | bool:
    """What is known beside the entry; False for nothing."""
    if not (addition.event or addition.job or addition.diagnostic):
        return False
    return Said(entry.kind, entry.list, addition.event, addition.job, addition.ordinal, addition.diagnostic)


def _suppressed(addition: Addition, entry: Entry) -> bytes:
    tenant, address, reason, at_ms = addition[:4]
    what = ("listed", tenant, address, addition.event, at_ms, entry.channel, entry.scope)
    fact = events.Suppressed(
        **events.about(tenant, at_ms, *what, email=address),
        reason=reason,
        where="suppression",
        channel=entry.channel,
        scope=entry.scope,
    )
    return events.encode(fact)


def _leaving(removal: Removal, known: Iterable[Entry]) -> Removed:
    """What the removal asks for, and what of it may not be."""
    asked = [
        entry
        for entry in known
        if removal.channel in (None, entry.channel)
        if removal.scope in (None, entry.scope)
        if removal.reasons is None or entry.reason in removal.reasons
    ]
    may_all = removal.by_operator or removal.taken_back
    kept = () if may_all else tuple(entry for entry in asked if scopes.is_protected(entry))
    return Removed(tuple(entry for entry in asked if entry not in kept), kept)


def _reactivated(removal: Removal, entry: Entry) -> bytes:
    fact = events.Reactivated(
        event_id=events.event_id("gone", removal.event, removal.address, entry.channel, entry.scope),
        occurred_at=removal.at_ms,
        tenant=removal.tenant,
        email=removal.address,
        reason=removal.by,
        channel=entry.channel,
        scope=entry.scope,
    )
    return events.encode(fact)
