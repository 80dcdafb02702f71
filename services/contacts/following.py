"""What happens to mail changes how contacts stand: facts, in the order in which they are read, become states.

A batch may be read twice, after a crash: a state that is set again is the same, and a soft bounce, which counts, is
known again by the history of the contact, that names the fact. A batch is a transaction for each tenant in it.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from prometheus_client import Counter

from services.contacts.base import store
from services.contacts.base.channels import State
from services.contacts.base.contact import Contact, difference
from services.contacts.base.database import Database
from services.contacts.contacts import ERASED
from services.contacts.facts import NAMES, Effect, effects
from shared.redis import bus
from shared.redis.recipients import Recipient
from shared.redis.suppression import normalised
from shared.words import events
from shared.words.erased import ErasureKeys
from shared.words.scopes import Channel

FOLLOWED = Counter("estafette_contacts_facts_total", "Facts that contacts were looked up for, by their name", ["fact"])

#: Of the stream at a time; of it the facts of a tenant are one transaction.
BATCH = 500
#: For so long at most a fact waits for others.
GATHER_MS = 200
#: Addresses that are compared with an erased one at a time.
_PAGE = 10_000


class Recipients(Protocol):
    async def find(self, job: str, ordinals: Sequence[int]) -> dict[int, Recipient]: ...

    async def list_of(self, job: str) -> str:
        """The list of a job, "" if it has none or is not kept any more."""


class _Told(NamedTuple):
    """A fact about an address, and what changes by it."""

    source: str
    address: str
    effects: Sequence[Effect]


class Following:
    """Everything raises DatabaseAway and RedisAway: the batch is read again then."""

    def __init__(self, database: Database, recipients: Recipients, erasure_keys: ErasureKeys) -> None:
        self._database = database
        self._recipients = recipients
        self._keys = erasure_keys

    async def apply(self, _partition: int, entries: Sequence[bus.Entry]) -> None:
        """The call of the consumer of `events`. DeadLetter if one of the entries cannot be understood."""
        by_tenant: dict[str, list[_Told]] = defaultdict(list)
        erased: dict[str, set[str]] = defaultdict(set)
        for entry in entries:
            if entry.name not in NAMES:
                continue
            fact = entry.message()
            assert isinstance(fact, events.Fact)
            FOLLOWED.labels(entry.name).inc()
            if isinstance(fact, events.Erased):
                erased[fact.tenant].add(fact.digest)
            elif told := await self._told(fact):
                by_tenant[fact.tenant].append(told)
        for tenant, facts in by_tenant.items():
            await self._write(tenant, facts)
        for tenant, digests in erased.items():
            await self._erase(tenant, digests)

    async def _told(self, fact: events.Fact) -> _Told | None:
        """None if nothing changes, or if nobody knows any more whose fact it is."""
        found = effects(fact)
        if any(one.unless_listed for one in found) and await self._recipients.list_of(fact.job):
            found = [one for one in found if not one.unless_listed]
        if not found:
            return None
        address = fact.email
        if not address and fact.ordinal is not None:
            recipient = (await self._recipients.find(fact.job, [fact.ordinal])).get(fact.ordinal)
            address = None if recipient is None else recipient.email
        return _Told(f"fact {fact.event_id}", normalised(address), found) if address else None

    async def _write(self, name: str, facts: Sequence[_Told]) -> None:
        async with self._database.transaction() as sql:
            tenant = await store.known_tenant(sql, name)
            if tenant is None:
                return
            held = await store.hold_states(sql, tenant.number, {one.address for one in facts})
            counting = [one.source for one in facts if any(effect.counts for effect in one.effects)]
            seen = await store.noted(sql, tenant.number, [one for one, _, _ in held], counting) if counting else set()
            changed: dict[int, Mapping[Channel, State]] = {}
            history: list[tuple[int, str, dict[str, list[Any]]]] = []
            for number, address, before in held:
                states = before
                for one in facts:
                    if one.address == address and (number, one.source) not in seen:
                        after = _after(states, one.effects)
                        if what := _difference(states, after):
                            history.append((number, one.source, what))
                        states = after
                if states != before:
                    changed[number] = states
            if changed:
                await store.write_states(sql, tenant.number, changed.items())
                await store.note(sql, tenant.number, history)

    async def _erase(self, name: str, digests: set[str]) -> None:
        """Who was erased is known by a keyed hash alone, so each address of the tenant is compared: some seconds for a
        million, and an erasure is rare."""
        async with self._database.connection() as sql:
            tenant = await store.known_tenant(sql, name)
        if tenant is None:
            return
        after = 0
        while True:
            async with self._database.connection() as sql:
                page = await store.addresses_after(sql, tenant.number, after, _PAGE)
            if not page:
                return
            after = page[-1][0]
            for number, address in page:
                if not digests.isdisjoint(self._keys.digests(name, address)):
                    async with self._database.transaction() as sql:
                        await store.erase(sql, tenant.number, number)
                    ERASED.inc()


def _after(states: Mapping[Channel, State], found: Sequence[Effect]) -> dict[Channel, State]:
    after = dict(states)
    for effect in found:
        after[effect.channel] = effect.change(after[effect.channel])
    return after


def _difference(before: Mapping[Channel, State], after: Mapping[Channel, State]) -> dict[str, list[Any]]:
    """As a contact's history has it, with the count of soft bounces."""
    told = difference(Contact(key="", states=before), Contact(key="", states=after))
    softs = [states["email"].softs for states in (before, after)]
    return told if softs[0] == softs[1] else {**told, "email_softs": softs}
