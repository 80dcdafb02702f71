"""The statements of contacts and fields. Every one names the tenant, and has what a tenant wrote as a parameter alone.

Whoever writes contacts locks first those that are there, in the order of their keys, then reads the fields, then adds
those that are new in the same order: so nobody waits for anybody in a circle, and a value of a field that was made
meanwhile is not lost.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import orjson

from services.contacts.base import fields as kinds
from services.contacts.base import stated
from services.contacts.base.channels import CHANNELS, State
from services.contacts.base.contact import Contact
from services.contacts.base.database import Row, Sql
from services.contacts.base.fields import Field, Kind
from services.contacts.base.folding import folded
from shared.mail import addresses
from shared.words.scopes import Channel

_STATE = ("optin", "status", "left", "opposed")
_STATES = tuple(f"{channel}_{part}" for channel in CHANNELS for part in _STATE)
_WRITTEN = (
    *("key", "email", "email_key", "mobile", "telephone", "professional"),
    *("texts", "folded", "numbers", "dates", "choices"),
    *_STATES,
    *("email_softs", "email_diagnostic"),
)
#: The note of the activity rank stands in sets, a bit for each contact; none of them is 0 (E32).
_NOTE = """coalesce((
    SELECT s.item FROM sets AS s
    WHERE s.tenant = $1 AND s.fact = 41 AND s.subject = 0 AND s.item = ANY ('{1,2,3,4,5,6,7,8,9,10}'::int[])
        AND s.chunk = contacts.contact >> 13 AND get_bit(s.members, contacts.contact & 8191) = 1
), 0) AS activity"""
_READ = ", ".join(("contact", "copy", *_WRITTEN, "created_at", "updated_at", "last_action_at", _NOTE))
#: Enums are written as texts.
_PLACES = ", ".join(
    f"${place}::address_status" if name.endswith("_status") else f"${place}" for place, name in enumerate(_WRITTEN, 4)
)

_TENANT = "SELECT tenant, key_field, duplicates FROM tenants WHERE name = $1"
_ADD_TENANT = "INSERT INTO tenants (name) VALUES ($1) ON CONFLICT (name) DO NOTHING RETURNING tenant"
_HOLD_TENANT = "SELECT tenant FROM tenants WHERE tenant = $1 FOR UPDATE"
_SET_KEY = "UPDATE tenants SET key_field = $2, duplicates = $3 WHERE tenant = $1"
_HAS_CONTACTS = "SELECT EXISTS (SELECT FROM contacts WHERE tenant = $1)"
_HAS_COPIES = "SELECT EXISTS (SELECT FROM contacts WHERE tenant = $1 AND copy > 0)"

_FIELDS = """
SELECT field, name, label, kind, slot, built_in FROM fields WHERE tenant = $1 AND removed_at IS NULL ORDER BY field"""
_CHOICES = """
SELECT c.field, c.choice, c.value, c.label FROM choices AS c JOIN fields AS f USING (tenant, field)
WHERE c.tenant = $1 AND f.removed_at IS NULL ORDER BY c.choice"""
_NEXT_FIELD = "UPDATE tenants SET next_field = next_field + 1 WHERE tenant = $1 RETURNING next_field - 1"
_NEXT_SLOT = "SELECT coalesce(max(slot), 0) + 1 FROM fields WHERE tenant = $1 AND kind = $2"
_ADD_FIELD = """
INSERT INTO fields (tenant, field, name, label, kind, slot, built_in) VALUES ($1, $2, $3, $4, $5, $6, $7)"""
_LABEL_FIELD = "UPDATE fields SET label = $3 WHERE tenant = $1 AND field = $2"
_REMOVE_FIELD = "UPDATE fields SET removed_at = now() WHERE tenant = $1 AND field = $2"
_NEXT_CHOICES = """
UPDATE fields SET next_choice = next_choice + $3 WHERE tenant = $1 AND field = $2 RETURNING next_choice - $3"""
_ADD_CHOICE = """
INSERT INTO choices (tenant, field, choice, value, folded, label) VALUES ($1, $2, $3, $4, $5, $6)"""
_LABEL_CHOICE = "UPDATE choices SET label = $3 WHERE tenant = $1 AND choice = $2"

_NUMBERS = "UPDATE tenants SET next_contact = next_contact + $2 WHERE tenant = $1 RETURNING next_contact - $2"
_BY_KEY = f"SELECT {_READ} FROM contacts WHERE tenant = $1 AND key = $2 AND copy = $3"  # noqa: S608 - our own columns
_HOLD = f"""
SELECT {_READ} FROM contacts WHERE tenant = $1 AND key = ANY ($2::text[]) AND copy = $3
ORDER BY key FOR UPDATE"""  # noqa: S608
_KNOWN = "SELECT key FROM contacts WHERE tenant = $1 AND key = ANY ($2::text[]) AND copy = 0"
_COPIES = """
SELECT key, max(copy) + 1 AS next FROM contacts WHERE tenant = $1 AND key = ANY ($2::text[]) GROUP BY key"""
_INSERT = f"""
INSERT INTO contacts (tenant, contact, copy, {", ".join(_WRITTEN)}) VALUES ($1, $2, $3, {_PLACES})
ON CONFLICT (tenant, key, copy) DO NOTHING RETURNING contact"""  # noqa: S608
_UPDATE = f"""
UPDATE contacts SET (updated_at, {", ".join(_WRITTEN)}) = (now(), {_PLACES})
WHERE tenant = $1 AND contact = $2 AND copy = $3"""  # noqa: S608
_CHANGED = "INSERT INTO changes (tenant, contact, source, what) VALUES ($1, $2, $3, $4::text::jsonb)"
_CHANGES = """
SELECT change, at, source, what::text AS what FROM changes WHERE tenant = $1 AND contact = $2 AND change < $3
ORDER BY change DESC LIMIT $4"""
_STATE_COLUMNS = (*_STATES, "email_softs", "email_diagnostic")
_HOLD_STATES = f"""
SELECT contact, email_key, {", ".join(_STATE_COLUMNS)} FROM contacts WHERE tenant = $1 AND email_key = ANY ($2::text[])
ORDER BY key, copy FOR UPDATE"""  # noqa: S608
_STATE_PLACES = ", ".join(
    f"${place}::address_status" if name.endswith("_status") else f"${place}"
    for place, name in enumerate(_STATE_COLUMNS, 3)
)
_WRITE_STATES = f"""
UPDATE contacts SET (updated_at, {", ".join(_STATE_COLUMNS)}) = (now(), {_STATE_PLACES})
WHERE tenant = $1 AND contact = $2"""  # noqa: S608
_SOURCES = """
SELECT contact, source FROM changes WHERE tenant = $1 AND contact = ANY ($2::int[]) AND source = ANY ($3::text[])"""
_ADDRESSES = """
SELECT contact, email_key FROM contacts WHERE tenant = $1 AND contact > $2 AND email_key IS NOT NULL
ORDER BY contact LIMIT $3"""
#: Of this purpose and a tenant: whoever writes what contacts did holds it.
_BEHAVIOURS_LOCK = 0x6573_7402
_HOLD_BEHAVIOURS = "SELECT pg_advisory_xact_lock($1, $2)"
#: What was counted of a contact was in behaviours. Bits are taken out in the order in which others mark.
_ERASE = (
    stated.FORGET,
    """DELETE FROM tallies WHERE tenant = $1 AND contact = $2 AND (kind, name) IN (
           SELECT kind + more, coalesce(other, name) FROM behaviours CROSS JOIN (VALUES (0), (100)) AS m (more)
           CROSS JOIN (VALUES (0), (NULL)) AS o (other) WHERE tenant = $1 AND contact = $2)""",
    # Of marketing that was received, which behaviours have as deliveries.
    "DELETE FROM tallies WHERE tenant = $1 AND kind = 26 AND name = 0 AND contact = $2",
    "DELETE FROM behaviours WHERE tenant = $1 AND contact = $2",
    "DELETE FROM judged WHERE tenant = $1 AND contact = $2",
    """WITH held AS (
           SELECT fact, subject, item FROM sets
           WHERE tenant = $1 AND chunk = $2::int >> 13 AND get_bit(members, $2::int & 8191) = 1
           ORDER BY fact, subject, item FOR UPDATE)
       UPDATE sets AS s SET members = set_bit(s.members, $2::int & 8191, 0) FROM held
       WHERE s.tenant = $1 AND s.fact = held.fact AND s.subject = held.subject AND s.item = held.item
           AND s.chunk = $2::int >> 13""",
    "DELETE FROM changes WHERE tenant = $1 AND contact = $2",
    """UPDATE import_lines AS l SET key = '', what = '' FROM contacts AS c
       WHERE l.tenant = $1 AND c.tenant = $1 AND c.contact = $2 AND l.key = c.key AND l.key <> ''""",
    "DELETE FROM outbox WHERE tenant = $1 AND contact = $2",
    "DELETE FROM contacts WHERE tenant = $1 AND contact = $2",
)
#: Each asks nothing where its parameter is null. `%` and `_` in what is looked for are themselves.
_FIND = f"""
SELECT {_READ} FROM contacts WHERE tenant = $1 AND contact > $2
AND ($3::text IS NULL OR email_key = $3)
AND ($4::text IS NULL OR mobile = $4)
AND ($5::text IS NULL OR strpos(email_key, $5) > 0 OR strpos(key, $5) > 0
     OR EXISTS (SELECT FROM unnest(folded) AS one WHERE strpos(one, $5) > 0))
AND ($6::int IS NULL OR choices @> ARRAY[$6::int])
AND CASE $7::text WHEN 'email' THEN email_addressable WHEN 'sms' THEN sms_addressable
    WHEN 'phone' THEN phone_addressable ELSE true END
ORDER BY contact LIMIT $8"""  # noqa: S608


class Tenant(NamedTuple):
    """A tenant's number, which field is the key of uniqueness, and whether contacts may share it (E1, E3)."""

    number: int
    key_field: str
    duplicates: bool


class Change(NamedTuple):
    """A line of a contact's history."""

    change: int
    at: datetime
    source: str
    what: Mapping[str, list[Any]]


class Search(NamedTuple):
    """What contacts are looked for: all of what is not None. `text` is folded; `tag` is the number of a word."""

    after: int = 0
    email_key: str | None = None
    mobile: str | None = None
    text: str | None = None
    tag: int | None = None
    addressable: str | None = None


# Tenants


async def known_tenant(sql: Sql, name: str) -> Tenant | None:
    """None before anything was written for it."""
    row = await sql.fetchrow(_TENANT, name)
    return Tenant(row["tenant"], row["key_field"], row["duplicates"]) if row is not None else None


async def tenant(sql: Sql, name: str) -> Tenant:
    """Made at first, with the fields that are there from the start. Within a transaction."""
    if (found := await known_tenant(sql, name)) is not None:
        return found
    number = await sql.fetchval(_ADD_TENANT, name)
    if number is not None:
        for field_name, kind, label in kinds.BUILT_IN:
            await add_field(sql, number, field_name, kind, label, built_in=True)
    made = await known_tenant(sql, name)
    assert made is not None
    return made


async def set_key(sql: Sql, of: int, key_field: str, *, duplicates: bool) -> None:
    await sql.execute(_SET_KEY, of, key_field, duplicates)


async def has_contacts(sql: Sql, of: int) -> bool:
    return bool(await sql.fetchval(_HAS_CONTACTS, of))


async def has_copies(sql: Sql, of: int) -> bool:
    """Whether any two share their key."""
    return bool(await sql.fetchval(_HAS_COPIES, of))


async def hold_tenant(sql: Sql, of: int) -> None:
    """Until the transaction ends nobody else changes its fields or its key."""
    await sql.fetchval(_HOLD_TENANT, of)


# Fields


async def fields(sql: Sql, of: int) -> dict[str, Field]:
    """Those that are not removed, by name."""
    choices: dict[int, dict[str, int]] = {}
    labels: dict[int, dict[str, str]] = {}
    for row in await sql.fetch(_CHOICES, of):
        choices.setdefault(row["field"], {})[row["value"]] = row["choice"]
        if row["label"]:
            labels.setdefault(row["field"], {})[row["value"]] = row["label"]
    return {
        row["name"]: Field(
            number=row["field"],
            name=row["name"],
            kind=row["kind"],
            label=row["label"],
            slot=row["slot"] or 0,
            choices=choices.get(row["field"], {}),
            labels=labels.get(row["field"], {}),
            built_in=row["built_in"],
        )
        for row in await sql.fetch(_FIELDS, of)
    }


async def add_field(sql: Sql, of: int, name: str, kind: Kind, label: str, *, built_in: bool = False) -> int:
    """Its number. The tenant is held."""
    number = int(await sql.fetchval(_NEXT_FIELD, of))
    slot = None if kind in kinds.CHOSEN else await sql.fetchval(_NEXT_SLOT, of, kind)
    await sql.execute(_ADD_FIELD, of, number, name, label, kind, slot, built_in)
    if kind == "yes_no":
        await add_choices(sql, of, number, {kinds.YES: "", kinds.NO: ""})
    return number


async def label_field(sql: Sql, of: int, number: int, label: str) -> None:
    await sql.execute(_LABEL_FIELD, of, number, label)


async def remove_field(sql: Sql, of: int, number: int) -> None:
    """Its values stay where they are and are read no more; its place is given to no other."""
    await sql.execute(_REMOVE_FIELD, of, number)


async def add_choices(sql: Sql, of: int, number: int, words: Mapping[str, str]) -> None:
    """Words with what people see of them, "" for the word itself. The tenant is held."""
    first = await sql.fetchval(_NEXT_CHOICES, of, number, len(words))
    await sql.executemany(
        _ADD_CHOICE,
        [
            (of, number, (number << 16) + place, word, folded(word), label)
            for place, (word, label) in enumerate(words.items(), first)
        ],
    )


async def label_choices(sql: Sql, of: int, labels: Mapping[int, str]) -> None:
    await sql.executemany(_LABEL_CHOICE, [(of, choice, label) for choice, label in labels.items()])


# Contacts


async def numbers(sql: Sql, of: int, count: int) -> range:
    """For contacts to come, in a transaction of their own: nobody waits for whoever took some. Gaps do no harm."""
    first = int(await sql.fetchval(_NUMBERS, of, count))
    return range(first, first + count)


async def by_key(sql: Sql, of: int, key: str, copy: int, known: Mapping[str, Field]) -> Contact | None:
    row = await sql.fetchrow(_BY_KEY, of, key, copy)
    return None if row is None else contact(row, known)


async def hold(sql: Sql, of: int, keys: Iterable[str], copy: int) -> list[Row]:
    """Those that are there, in the order of keys: nobody else changes them until the transaction ends. The fields are
    read after that (`contact`)."""
    return await sql.fetch(_HOLD, of, sorted(set(keys)), copy)


async def known_keys(sql: Sql, of: int, keys: Iterable[str]) -> set[str]:
    """Those that a contact has."""
    return {row["key"] for row in await sql.fetch(_KNOWN, of, list(keys))}


async def next_copies(sql: Sql, of: int, keys: Iterable[str]) -> dict[str, int]:
    """Of keys that contacts have, the copy that comes next. The tenant is held."""
    return {row["key"]: row["next"] for row in await sql.fetch(_COPIES, of, list(keys))}


async def add(sql: Sql, of: int, new: Contact, known: Mapping[str, Field]) -> bool:
    """Under its number; False if there is one with that key by now."""
    return await sql.fetchval(_INSERT, of, new.number, new.copy, *_columns(new, known)) is not None


async def update(sql: Sql, of: int, after: Contact, known: Mapping[str, Field]) -> None:
    """Conflict if another one has its key."""
    await sql.execute(_UPDATE, of, after.number, after.copy, *_columns(after, known))


async def note(sql: Sql, of: int, told: Sequence[tuple[int, str, Mapping[str, list[Any]]]]) -> None:
    """Changes for the history: contact, source, what."""
    await sql.executemany(_CHANGED, [(of, one, source, orjson.dumps(what).decode()) for one, source, what in told])


async def changes(sql: Sql, of: int, one: int, before: int, most: int) -> list[Change]:
    """The latest first, older than the one of that number."""
    rows = await sql.fetch(_CHANGES, of, one, before, most)
    return [Change(row["change"], row["at"], row["source"], orjson.loads(row["what"])) for row in rows]


async def hold_behaviours(sql: Sql, of: int) -> None:
    """Until the transaction ends nobody else notes what contacts of the tenant did, or erases one of them. Before a
    contact is held."""
    await sql.execute(_HOLD_BEHAVIOURS, _BEHAVIOURS_LOCK, of)


async def erase(sql: Sql, of: int, one: int) -> None:
    """Nothing of it stays but its number, which is given to no other, where it was a recipient. Behaviours are
    held."""
    for statement in _ERASE:
        await sql.execute(statement, of, one)


async def hold_states(sql: Sql, of: int, email_keys: Iterable[str]) -> list[tuple[int, str, dict[Channel, State]]]:
    """Who has one of these addresses: number, the address as it is looked up, and every state. Held, in the order of
    keys."""
    rows = await sql.fetch(_HOLD_STATES, of, list(email_keys))
    return [(row["contact"], row["email_key"], {one: _state(row, one) for one in CHANNELS}) for row in rows]


async def write_states(sql: Sql, of: int, told: Iterable[tuple[int, Mapping[Channel, State]]]) -> None:
    """Of contacts that are held."""
    await sql.executemany(_WRITE_STATES, [(of, one, *_state_columns(states)) for one, states in told])


async def noted(sql: Sql, of: int, contacts: Sequence[int], sources: Sequence[str]) -> set[tuple[int, str]]:
    """Which of these changed already because of which of these sources."""
    return {(row["contact"], row["source"]) for row in await sql.fetch(_SOURCES, of, contacts, sources)}


async def addresses_after(sql: Sql, of: int, after: int, most: int) -> list[tuple[int, str]]:
    """Numbers and addresses, in the order of numbers."""
    return [(row["contact"], row["email_key"]) for row in await sql.fetch(_ADDRESSES, of, after, most)]


async def find(sql: Sql, of: int, asked: Search, most: int, known: Mapping[str, Field]) -> list[Contact]:
    """In the order of their numbers."""
    rows = await sql.fetch(_FIND, of, *asked, most)
    return [contact(row, known) for row in rows]


def contact(row: Row, known: Mapping[str, Field]) -> Contact:
    """Of a row that is held, or was read."""
    states = {channel: state for channel in CHANNELS if (state := _state(row, channel)) != State()}
    return Contact(
        number=row["contact"],
        key=row["key"],
        copy=row["copy"],
        email=row["email"],
        mobile=row["mobile"],
        telephone=row["telephone"],
        professional=row["professional"],
        values=kinds.values(known.values(), row),
        states=states,
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        last_action_at=row["last_action_at"],
        activity=row["activity"],
    )


def _state(row: Row, channel: str) -> State:
    told = {part: row[f"{channel}_{part}"] for part in _STATE}
    if channel == "email":
        told |= {"softs": row["email_softs"], "diagnostic": row["email_diagnostic"]}
    return State(**told)


def _columns(of: Contact, known: Mapping[str, Field]) -> list[Any]:
    """In the order of `_WRITTEN`."""
    kept = kinds.kept(known.values(), of.values)
    email_key = None if of.email is None else addresses.parse(of.email).key
    return [
        *(of.key, of.email, email_key, of.mobile, of.telephone, of.professional),
        *(kept.texts, kept.folded, kept.numbers, kept.dates, kept.choices),
        *_state_columns(of.states),
    ]


def _state_columns(states: Mapping[Channel, State]) -> list[Any]:
    """In the order of `_STATE_COLUMNS`."""
    email = states.get("email", State())
    parts = [getattr(states.get(channel, State()), part) for channel in CHANNELS for part in _STATE]
    return [*parts, email.softs, email.diagnostic]
