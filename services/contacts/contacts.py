"""The way of a contact: what a request says is read, the record is looked up by its key, changed, and its history kept.

    put, write ──→ tags that are new ──→ numbers for who is new ──→ one transaction:
                   who is there is held, by key ──→ what is wanted of each ──→ who is new is added, who changed written
                   ──→ what is to be told of it (`outbox/`)

A contact that comes again under its key is the same contact, whatever way it comes (E2). A request may come twice, or
two at once: what is the same again changes nothing and leaves no history.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from msgspec import UNSET, UnsetType
from prometheus_client import Counter

from services.contacts.base import fields as kinds
from services.contacts.base import stated, store
from services.contacts.base.contact import (
    Contact,
    Misfit,
    Wanted,
    WantedState,
    changed,
    difference,
    key_of,
    wanted,
    with_key,
)
from services.contacts.base.database import Conflict, Database, Sql
from services.contacts.base.fields import TAGS, Field
from services.contacts.base.folding import folded
from services.contacts.base.store import Change, Search, Tenant
from services.contacts.behaviour import timeline
from services.contacts.behaviour.timeline import Moment, Place
from services.contacts.outbox import noting
from services.contacts.risk.run import became_hard
from shared.words.errors import Fault
from shared.words.scopes import Channel

WRITTEN = Counter("estafette_contacts_written_total", "Contacts that somebody wrote, by what came of it", ["result"])
ERASED = Counter("estafette_contacts_erased_total", "Contacts that were removed with all that was known of them")

#: Others that add the same contacts at the same time make a request begin anew; they cannot do so for ever.
_TRIES = 10

#: What is done with a contact that exists: it is updated, left as it is (E10), or stays beside another one (E3).
Mode = Literal["update", "new_only", "add"]
Result = Literal["added", "updated", "unchanged", "refused"]


class Given(NamedTuple):
    """What a request says of one contact, unread. `key` is what it is called in the path, None where the body says
    it; `at` is where it stands."""

    key: str | None
    columns: Mapping[str, str | None] = {}
    professional: bool | UnsetType = UNSET
    values: Mapping[str, Any] = {}
    states: Mapping[Channel, WantedState] = {}
    at: str = "$"


class Outcome(NamedTuple):
    """What became of one: the contact as it is now, or why it was refused."""

    result: Result
    contact: Contact | None = None
    faults: Sequence[Fault] = ()


class KeyTaken(Exception):
    """Another contact has that key."""


class NoDuplicates(Exception):
    """The tenant does not let contacts share a key."""


class _Anew(Exception):
    """Somebody added one of them meanwhile."""


class _Read(NamedTuple):
    """A contact that can be written: its place in the request, the key under which it is looked up, the one that its
    body says (None: none) and where, what is wanted, and the key as the path has it."""

    place: int
    key: str
    said: str | None
    at: str
    asked: Wanted
    written: str | None

    def of_new(self, key_field: str) -> Wanted:
        """What is wanted of a contact that is new: it has its key, too."""
        return self.asked if self.said is not None else with_key(key_field, self.asked, self.written or "")


class _Work(NamedTuple):
    """What a contact was (None: it is new) and what it becomes, or why not; what was said of its address."""

    place: int
    before: Contact | None
    after: Contact | None
    faults: Sequence[Fault] = ()
    said: WantedState | None = None

    def outcome(self) -> Outcome:
        if self.after is None:
            return Outcome("refused", None, self.faults)
        if self.before is None:
            return Outcome("added", self.after)
        return Outcome("updated" if difference(self.before, self.after) else "unchanged", self.after)


class Contacts:
    """Of all tenants; each is named in every call. Everything raises DatabaseAway."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, name: str, written: str, copy: int = 0) -> tuple[Contact, Mapping[str, Field]] | None:
        """The contact that is called so. NotSo: that is no key."""
        async with self._database.transaction(repeatable=True) as sql:
            tenant = await store.known_tenant(sql, name)
            key = _key(tenant, written)
            if tenant is None:
                return None
            known = await store.fields(sql, tenant.number)
            found = await store.by_key(sql, tenant.number, key, copy, known)
            return None if found is None else (found, known)

    async def fields(self, name: str) -> Mapping[str, Field]:
        """Of the tenant, by name."""
        async with self._database.connection() as sql:
            tenant = await store.known_tenant(sql, name)
            return {} if tenant is None else await store.fields(sql, tenant.number)

    async def find(self, name: str, asked: Search, tag: str, most: int) -> tuple[list[Contact], Mapping[str, Field]]:
        """In the order in which they came."""
        async with self._database.transaction(repeatable=True) as sql:
            tenant = await store.known_tenant(sql, name)
            if tenant is None:
                return [], {}
            known = await store.fields(sql, tenant.number)
            if tag:
                words = {folded(word): choice for word, choice in known[TAGS].choices.items()}
                if (choice := words.get(folded(tag))) is None:
                    return [], known
                asked = asked._replace(tag=choice)
            return await store.find(sql, tenant.number, asked, most, known), known

    async def changes(self, name: str, written: str, copy: int, before: int, most: int) -> list[Change] | None:
        """The history of a contact, the latest first; None if there is no such contact. NotSo."""
        async with self._database.transaction(repeatable=True) as sql:
            tenant = await store.known_tenant(sql, name)
            key = _key(tenant, written)
            if tenant is None or (found := await store.by_key(sql, tenant.number, key, copy, {})) is None:
                return None
            return await store.changes(sql, tenant.number, found.number, before, most)

    async def timeline(self, name: str, written: str, copy: int, before: Place, most: int) -> list[Moment] | None:
        """What happened to a contact, the latest first; None if there is no such contact. NotSo."""
        async with self._database.transaction(repeatable=True) as sql:
            tenant = await store.known_tenant(sql, name)
            key = _key(tenant, written)
            if tenant is None or (found := await store.by_key(sql, tenant.number, key, copy, {})) is None:
                return None
            return await timeline.page(sql, tenant.number, found.number, before, most)

    async def erase(self, name: str, written: str, copy: int = 0) -> bool:
        """Removes a contact with all that was known of it; False if there is none. NotSo."""
        async with self._database.transaction() as sql:
            tenant = await store.known_tenant(sql, name)
            key = _key(tenant, written)
            if tenant is None:
                return False
            await store.hold_behaviours(sql, tenant.number)
            if not (held := await store.hold(sql, tenant.number, [key], copy)):
                return False
            await store.erase(sql, tenant.number, held[0]["contact"])
        ERASED.inc()
        return True

    async def put(self, name: str, given: Given, source: str, copy: int = 0) -> Outcome:
        """One contact, under the key by which it is called. KeyTaken, NotSo."""
        (outcome,) = await self.write(name, [given], "update", source, copy)
        return outcome

    async def write(self, name: str, given: Sequence[Given], mode: Mode, source: str, copy: int = 0) -> list[Outcome]:
        """What became of each, in their order; who is refused changes nothing, and the others are written. A contact
        that is there twice is written twice. KeyTaken, NoDuplicates; NotSo: a key in a path is none."""
        for _ in range(_TRIES):
            try:
                outcomes = await self._write(name, given, mode, source, copy)
            except _Anew:
                continue
            except Conflict:
                raise KeyTaken from None
            for outcome in outcomes:
                WRITTEN.labels(outcome.result).inc()
            return outcomes
        raise RuntimeError("others add the same contacts again and again")

    async def _write(self, name: str, given: Sequence[Given], mode: Mode, source: str, copy: int) -> list[Outcome]:
        tenant, new = await self._prepared(name, given, mode)
        async with self._database.connection() as sql:
            numbers = iter(await store.numbers(sql, tenant.number, new) if new else ())
        async with self._database.transaction() as sql:
            if mode == "add":
                await store.hold_tenant(sql, tenant.number)
            read, _ = _read(tenant, await store.fields(sql, tenant.number), given)
            held = await store.hold(sql, tenant.number, (one.key for one in read), copy) if mode != "add" else []
            # Now nobody else writes to them: what a field has in them is a field that is known here.
            known = await store.fields(sql, tenant.number)
            read, outcomes = _read(tenant, known, given)
            if mode == "add":
                copies = await store.next_copies(sql, tenant.number, {one.key for one in read})
                work = _beside(tenant, read, copies, numbers)
            else:
                there = {row["key"]: store.contact(row, known) for row in held}
                work = _decided(tenant, read, there, mode, numbers, copy)
            await _applied(sql, tenant, work, known, source)
            for one in work:
                outcomes[one.place] = one.outcome()
            if len(outcomes) == 1 and outcomes[0].contact is not None:  # as it stands there, with its times
                key, at = outcomes[0].contact.key, outcomes[0].contact.copy
                outcomes[0] = outcomes[0]._replace(contact=await store.by_key(sql, tenant.number, key, at, known))
        return outcomes

    async def _prepared(self, name: str, given: Sequence[Given], mode: Mode) -> tuple[Tenant, int]:
        """The tenant, with the tags that are new, and how many contacts there are at most that are new."""
        async with self._database.transaction() as sql:
            tenant = await store.tenant(sql, name)
            if mode == "add" and not tenant.duplicates:
                raise NoDuplicates
            known = await store.fields(sql, tenant.number)
            read, _ = _read(tenant, known, given)
            if _new_tags(known[TAGS], read):
                await store.hold_tenant(sql, tenant.number)
                tags = (await store.fields(sql, tenant.number))[TAGS]
                words = _new_tags(tags, read)
                if len(tags.choices) + len(words) > kinds.MAX_CHOICES:
                    raise Misfit(
                        [Fault(f"{given[0].at}.fields.{TAGS}", f"there are {kinds.MAX_CHOICES:,} tags at most")]
                    )
                await store.add_choices(sql, tenant.number, tags.number, words)
            if mode == "add":
                return tenant, len(read)
            keys = {one.key for one in read}
            return tenant, len(keys - await store.known_keys(sql, tenant.number, keys))


def _key(tenant: Tenant | None, written: str) -> str:
    """Of a tenant that has nothing yet, too: what is no key is no key."""
    return kinds.key("email" if tenant is None else tenant.key_field, written)


def _read(tenant: Tenant, known: Mapping[str, Field], given: Sequence[Given]) -> tuple[list[_Read], list[Outcome]]:
    """Those that fit, and of each what became of it so far. NotSo: a key in a path is none."""
    read: list[_Read] = []
    outcomes = [Outcome("unchanged")] * len(given)
    for place, one in enumerate(given):
        key = None if one.key is None else kinds.key(tenant.key_field, one.key)
        where = f"{one.at}{'' if tenant.key_field in kinds.KEY_COLUMNS else '.fields'}.{tenant.key_field}"
        try:
            asked = wanted(known, one.columns, one.professional, one.values, one.states, one.at)
            said = key_of(tenant.key_field, asked, one.at)
            if key is None and said is None:
                raise Misfit([Fault(where, "missing, but it is the key of uniqueness")])
        except Misfit as misfit:
            outcomes[place] = Outcome("refused", None, misfit.faults)
            continue
        read.append(_Read(place, key or said or "", said, where, asked, one.key))
    return read, outcomes


def _new_tags(tags: Field, read: Sequence[_Read]) -> dict[str, str]:
    """Words that the field does not have yet, each once, without a label."""
    new: dict[str, str] = {}
    for one in read:
        for word in kinds.unknown_tags(tags, one.asked.values.get(TAGS)):
            new.setdefault(folded(word), word)
    return dict.fromkeys(new.values(), "")


def _decided(
    tenant: Tenant, read: Sequence[_Read], there: dict[str, Contact], mode: Mode, numbers: Iterator[int], copy: int
) -> list[_Work]:
    """`there` is who was there before the request."""
    work = []
    for one in read:
        before = there.get(one.key)
        if before is not None:
            after = before if mode == "new_only" else changed(before, one.asked, tenant.key_field)
        elif copy:
            work.append(_Work(one.place, None, None, [Fault("?copy", "nobody is there: POST with `add` adds one")]))
            continue
        elif one.said not in (None, one.key):
            work.append(_Work(one.place, None, None, [Fault(one.at, "another one than in the path, where nobody is")]))
            continue
        else:
            after = changed(_numbered(one, numbers, copy), one.of_new(tenant.key_field), tenant.key_field)
        there[one.key] = after
        is_left_alone = before is not None and mode == "new_only"
        work.append(_Work(one.place, before, after, (), None if is_left_alone else one.asked.states.get("email")))
    return work


def _numbered(one: _Read, numbers: Iterator[int], copy: int) -> Contact:
    """One that is new. _Anew: it was there when numbers were taken."""
    if (number := next(numbers, None)) is None:
        raise _Anew
    return Contact(number=number, key=one.key, copy=copy)


def _beside(tenant: Tenant, read: Sequence[_Read], copies: dict[str, int], numbers: Iterator[int]) -> list[_Work]:
    """Each is new, whoever has its key (E3)."""
    work = []
    for one in read:
        copy = copies.get(one.key, 0)
        copies[one.key] = copy + 1
        after = changed(_numbered(one, numbers, copy), one.of_new(tenant.key_field), tenant.key_field)
        work.append(_Work(one.place, None, after, (), one.asked.states.get("email")))
    return work


async def _applied(sql: Sql, tenant: Tenant, work: Sequence[_Work], known: Mapping[str, Field], source: str) -> None:
    """Who is new in the order of keys, then who changed. _Anew, KeyTaken, Conflict."""
    new = [one.after for one in work if one.before is None and one.after is not None]
    for contact in sorted(new, key=lambda one: (one.key, one.copy)):
        if not await store.add(sql, tenant.number, contact, known):
            raise _Anew
    moved = {one.after.key for one in work if one.before and one.after and one.before.key != one.after.key}
    if moved and await store.known_keys(sql, tenant.number, moved):
        raise KeyTaken
    told = []
    for one in work:
        if one.before is not None and one.after is not None and (what := difference(one.before, one.after)):
            await store.update(sql, tenant.number, one.after, known)
            told.append((one.after.number, source, what))
    if told:
        await store.note(sql, tenant.number, told)
    said = [stated.said(one.before, one.after, one.said) for one in work if one.after is not None]
    await stated.say(sql, tenant.number, source, [one for one in said if one is not None])
    await noting.written(
        sql, tenant.number, [one.number for one in new], [(number, list(what)) for number, _, what in told]
    )
    after = [one.after for one in work if one.after is not None]
    await became_hard(sql, tenant.number, [one.number for one in after if _is_hard(one)])


def _is_hard(contact: Contact) -> bool:
    return "email" in contact.states and contact.states["email"].status == "hard"
