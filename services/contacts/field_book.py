"""The fields of a tenant, which it makes, names and removes, and which of them is the key of uniqueness (E1, E3, E4).

What a field means never changes under those who have it: its kind stays, a word that can be chosen stays. A field that
is removed is not shown any more; one that is made later under its name is another field.
"""

import re
from collections.abc import Mapping, Sequence

from services.contacts.base import fields as kinds
from services.contacts.base import store
from services.contacts.base.contact import Misfit
from services.contacts.base.database import Database, Sql
from services.contacts.base.fields import CHOSEN, MAX_CHOICES, MAX_FIELDS, TAKEN, Field, Kind, NotSo
from services.contacts.base.folding import folded
from services.contacts.base.store import Tenant
from shared.words.errors import Fault


class InUse(Exception):
    """What was asked would take away what contacts have. The message says why."""


class FieldBook:
    """Of all tenants; each is named in every call. Everything raises DatabaseAway."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self, name: str) -> tuple[dict[str, Field], Tenant]:
        """Every field, by name, and how the tenant tells contacts apart."""
        async with self._database.transaction() as sql:
            tenant = await store.tenant(sql, name)
            return await store.fields(sql, tenant.number), tenant

    async def put(
        self, name: str, field: str, kind: Kind, label: str, choices: Sequence[tuple[str, str]] | None
    ) -> tuple[bool, Field]:
        """Whether it is new, and how it is now. `choices`: words with what people see of them; None leaves them as
        they are. InUse, Misfit."""
        if not re.fullmatch(kinds.NAME, field):
            raise Misfit([Fault("field", "expected small letters, digits and _, up to 60, the first a letter")])
        async with self._database.transaction() as sql:
            tenant = await store.tenant(sql, name)
            await store.hold_tenant(sql, tenant.number)
            known = await store.fields(sql, tenant.number)
            there = known.get(field)
            words = _words(kind, choices)
            if there is None:
                if field in TAKEN:
                    raise Misfit([Fault("field", "every contact has something of that name")])
                if len(known) >= MAX_FIELDS:
                    raise Misfit([Fault("$", f"a tenant has {MAX_FIELDS} fields at most")])
                number = await store.add_field(sql, tenant.number, field, kind, label)
                await store.add_choices(sql, tenant.number, number, words or {})
            else:
                await _change(sql, tenant, there, kind, label, words)
            return there is None, (await store.fields(sql, tenant.number))[field]

    async def remove(self, name: str, field: str) -> bool:
        """False if there is none. InUse."""
        async with self._database.transaction() as sql:
            tenant = await store.tenant(sql, name)
            await store.hold_tenant(sql, tenant.number)
            there = (await store.fields(sql, tenant.number)).get(field)
            if there is None:
                return False
            if there.built_in:
                raise InUse("every tenant has this field")
            if tenant.key_field == field:
                raise InUse("contacts are told apart by this field")
            await store.remove_field(sql, tenant.number, there.number)
            return True

    async def set_key(self, name: str, key_field: str, *, duplicates: bool) -> Tenant:
        """Before the first contact; duplicates may be allowed later, and forbidden as long as there are none. InUse,
        Misfit."""
        async with self._database.transaction() as sql:
            tenant = await store.tenant(sql, name)
            await store.hold_tenant(sql, tenant.number)
            if key_field not in kinds.KEY_COLUMNS:
                field = (await store.fields(sql, tenant.number)).get(key_field)
                if field is None or field.kind != "text":
                    raise Misfit([Fault("$.key_field", "expected email, mobile, or the name of a field of kind text")])
            if key_field != tenant.key_field and await store.has_contacts(sql, tenant.number):
                raise InUse(f"there are contacts, which are told apart by {tenant.key_field}")
            if tenant.duplicates and not duplicates and await store.has_copies(sql, tenant.number):
                raise InUse("there are contacts that share their key")
            await store.set_key(sql, tenant.number, key_field, duplicates=duplicates)
            return Tenant(tenant.number, key_field, duplicates)


async def _change(
    sql: Sql, tenant: Tenant, there: Field, kind: Kind, label: str, words: Mapping[str, str] | None
) -> None:
    if kind != there.kind:
        raise InUse(f"the field is of kind {there.kind}: make another one, and remove this")
    if label != there.label:
        await store.label_field(sql, tenant.number, there.number, label)
    if words is None:
        return
    known = {folded(word): (word, choice) for word, choice in there.choices.items()}
    asked = {folded(word): word for word in words}
    if lacking := [word for word in there.choices if folded(word) not in asked]:
        raise InUse(f"{lacking[0][:40]!r} is lacking: contacts may have it, so it stays")
    new = {word: words[word] for folded, word in asked.items() if folded not in known}
    await store.add_choices(sql, tenant.number, there.number, new)
    labels = {
        known[folded][1]: words[word]
        for folded, word in asked.items()
        if folded in known and words[word] != there.labels.get(known[folded][0], "")
    }
    await store.label_choices(sql, tenant.number, labels)


def _words(kind: Kind, choices: Sequence[tuple[str, str]] | None) -> dict[str, str] | None:
    """Misfit: words of a field that has none, or that are none."""
    if choices is None:
        return None
    if kind not in CHOSEN or kind == "yes_no":
        raise Misfit([Fault("$.choices", f"a field of kind {kind} has no words of its own")])
    if len(choices) > MAX_CHOICES:
        raise Misfit([Fault("$.choices", f"a field has {MAX_CHOICES:,} words at most")])
    faults: list[Fault] = []
    found: dict[str, str] = {}
    seen: set[str] = set()
    for place, (given, label) in enumerate(choices):
        at = f"$.choices[{place}].value"
        try:
            word = kinds.word(given)
        except NotSo as fault:
            faults.append(Fault(at, str(fault)))
            continue
        if word is None:
            faults.append(Fault(at, "nothing can be seen in it"))
        elif folded(word) in seen:
            faults.append(Fault(at, "is there already, but for capital letters"))
        else:
            seen.add(folded(word))
            found[word] = label
    if faults:
        raise Misfit(faults)
    return found
