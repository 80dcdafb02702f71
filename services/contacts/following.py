"""What happens to mail, and what people do with it, changes what is known of contacts: how they stand, what they did.

Facts become states in the order in which they are read, and behaviour in any order (`behaviour/`). A batch may be read
twice, after a crash: a state that is set again is the same; a soft bounce, which counts, is known again by the history
of the contact, that names the fact; behaviour is known by its event. A batch is a transaction for each tenant in it,
and a tenant without a base costs nothing but the question.
"""

from collections import Counter as Counts
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from prometheus_client import Counter

from services.contacts import facts as changes_by
from services.contacts.base import store
from services.contacts.base.channels import State
from services.contacts.base.contact import Contact, difference
from services.contacts.base.database import Database, Sql
from services.contacts.behaviour import deeds
from services.contacts.behaviour import store as behaviour_store
from services.contacts.behaviour.batch import Happened, Message, happened
from services.contacts.behaviour.store import Addressed
from services.contacts.behaviour.writing import Behaviour
from services.contacts.contacts import ERASED
from services.contacts.facts import Effect, delivered, effects
from services.contacts.risk.run import became_hard
from shared.redis import bus
from shared.redis.recipients import Recipient, of_jobs
from shared.redis.suppression import normalised
from shared.words import events
from shared.words.erased import ErasureKeys
from shared.words.scopes import Channel

FOLLOWED = Counter("estafette_contacts_facts_total", "Facts that contacts were looked up for, by their name", ["fact"])

#: Facts that change something, or of which something is noted: all others are not even read.
NAMES = changes_by.NAMES | deeds.NAMES
#: As `followed` names the stream.
STREAM = "events"
#: Of the stream at a time; of it the facts of a tenant are one transaction.
BATCH = 1_000
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


class _Read(NamedTuple):
    """What a fact changes of a contact, and what is noted of it."""

    fact: events.Fact
    effects: Sequence[Effect]
    happened: Happened | None


class Following:
    """Everything raises DatabaseAway and RedisAway: the batch is read again then."""

    def __init__(
        self, database: Database, recipients: Recipients, erasure_keys: ErasureKeys, behaviour: Behaviour
    ) -> None:
        self._database = database
        self._recipients = recipients
        self._keys = erasure_keys
        self._behaviour = behaviour

    async def apply(self, partition: int, entries: Sequence[bus.Entry]) -> None:
        """The call of the consumer of `events`. DeadLetter if one of the entries cannot be understood."""
        by_tenant: dict[str, list[events.Fact]] = defaultdict(list)
        counts: Counts[str] = Counts()
        for entry in entries:
            if entry.name in NAMES:
                fact = entry.message()
                assert isinstance(fact, events.Fact)
                counts[entry.name] += 1
                by_tenant[fact.tenant].append(fact)
        if not by_tenant:
            return
        async with self._database.connection() as sql:
            numbers = await behaviour_store.tenants(sql, by_tenant)
        for tenant, number in numbers.items():
            facts = by_tenant[tenant]
            erased = {fact.digest for fact in facts if isinstance(fact, events.Erased)}
            await self._follow(number, facts, partition, entries[-1].stream_id)
            if erased:
                await self._erase(tenant, number, erased)
        for name, count in counts.items():
            FOLLOWED.labels(name).inc(count)

    async def _follow(self, tenant: int, facts: Sequence[events.Fact], partition: int, position: str) -> None:
        read = [one for fact in facts if (one := await self._read(fact)) is not None]
        happened = [one.happened for one in read if one.happened is not None]
        known = await self._behaviour.known(tenant, happened)
        happened = [one for one in happened if not known.is_test(one.job)]
        addressed = await self._addressed(read, known.recipients)
        told = [_told(one, addressed) for one in read if one.effects]
        addresses = {one.address for one in happened} | {one.address for one in told} | set(addressed.values())
        async with self._database.transaction() as sql:
            await store.hold_behaviours(sql, tenant)
            found = await behaviour_store.addressed(sql, tenant, addresses - {""})
            written = await self._behaviour.write(sql, tenant, happened, known, addressed, found)
            await _change(sql, tenant, _changing(told, found))
            await behaviour_store.followed(sql, STREAM, partition, position)
        self._behaviour.remember(tenant, written)

    async def _read(self, fact: events.Fact) -> _Read | None:
        """None if nothing comes of it."""
        found = effects(fact)
        if found and any(one.unless_listed for one in found) and await self._recipients.list_of(fact.job):
            found = [one for one in found if not one.unless_listed]
        noted = happened(fact)
        return _Read(fact, found, noted) if found or noted is not None else None

    async def _addressed(self, read: Sequence[_Read], known: Mapping[Message, int]) -> dict[Message, str]:
        """Whose messages are of which neither the fact nor a recipient that we know says it, as the job has them. A
        change of a state is one of the address, whoever's it is."""
        asked: dict[str, set[int]] = defaultdict(set)
        for fact, changes, _ in read:
            if not fact.email and fact.ordinal is not None and (changes or (fact.job, fact.ordinal) not in known):
                asked[fact.job].add(fact.ordinal)
        found = await of_jobs(self._recipients, asked)
        return {(job, at): normalised(one.email) for (job, at), one in found.items() if at is not None}

    async def _erase(self, name: str, tenant: int, digests: set[str]) -> None:
        """Who was erased is known by a keyed hash alone, so each address of the tenant is compared: some seconds for a
        million, and an erasure is rare."""
        after = 0
        while True:
            async with self._database.connection() as sql:
                page = await store.addresses_after(sql, tenant, after, _PAGE)
            if not page:
                return
            after = page[-1][0]
            for number, address in page:
                if not digests.isdisjoint(self._keys.digests(name, address)):
                    async with self._database.transaction() as sql:
                        await store.hold_behaviours(sql, tenant)
                        await store.erase(sql, tenant, number)
                    ERASED.inc()


def _told(read: _Read, addressed: Mapping[Message, str]) -> _Told:
    fact = read.fact
    if fact.email:
        address = normalised(fact.email)
    else:
        address = "" if fact.ordinal is None else addressed.get((fact.job, fact.ordinal), "")
    return _Told(f"fact {fact.event_id}", address, read.effects)


def _changing(told: Sequence[_Told], found: Addressed) -> list[_Told]:
    """What may change a contact. Nearly all of it are deliveries to addresses that are known to work: these change
    nothing, unless something else is told of the address."""
    others = {one.address for one in told if not _is_delivery(one)} | found.unsettled
    return [one for one in told if one.address in found.contacts and one.address in others]


def _is_delivery(told: _Told) -> bool:
    return all(one.change is delivered for one in told.effects)


async def _change(sql: Sql, tenant: int, facts: Sequence[_Told]) -> None:
    if not facts:
        return
    held = await store.hold_states(sql, tenant, {one.address for one in facts})
    counting = [one.source for one in facts if any(effect.counts for effect in one.effects)]
    seen = await store.noted(sql, tenant, [one for one, _, _ in held], counting) if counting else set()
    by_address: dict[str, list[_Told]] = defaultdict(list)
    for one in facts:
        by_address[one.address].append(one)
    changed: dict[int, Mapping[Channel, State]] = {}
    history: list[tuple[int, str, dict[str, list[Any]]]] = []
    for number, address, before in held:
        states = before
        for one in by_address[address]:
            if (number, one.source) not in seen:
                after = _after(states, one.effects)
                if what := _difference(states, after):
                    history.append((number, one.source, what))
                states = after
        if states != before:
            changed[number] = states
    if changed:
        await store.write_states(sql, tenant, changed.items())
        await store.note(sql, tenant, history)
        await became_hard(sql, tenant, [one for one, states in changed.items() if states["email"].status == "hard"])


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
