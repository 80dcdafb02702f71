"""The base of a model (`tests/segment_model.py`) in the tables, written through `mark` and `tally`."""

import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from services.contacts.base.folding import folded
from services.contacts.segments import compiling
from services.contacts.segments.checking import Field, Known
from tests.segment_model import Base, Happened, Person, State

#: The fields of every base of these tests: their kind and slot.
FIELDS: dict[str, Field] = {
    "town": Field(1, "text", 1),
    "postcode": Field(2, "text", 2),
    "age": Field(3, "number", 1),
    "points": Field(4, "number", 2),
    "born": Field(5, "date", 1),
    "joined": Field(6, "date", 2),
    "status": Field(7, "choice", None),
    "interests": Field(8, "choices", None),
    "vip": Field(9, "yes_no", None),
}
KINDS = {name: str(field.kind) for name, field in FIELDS.items()}
CHOICES = {
    "status": ("Client", "Prospect", "Été"),
    "interests": ("vin", "Thé", "café", "STRASSE"),
    "vip": ("yes", "no"),
}
_CHOICE = {
    (name, folded(value)): (FIELDS[name].number << 16) + place
    for name, values in CHOICES.items()
    for place, value in enumerate(values)
}  # fmt: skip
_FATES = {"selected": 1, "recipient": 2, "delivered": 4, "unsubscribed": 10, "complained": 11}
_COUNTED = {"delivered": 4, "opened": 5, "clicked": 6, "page_seen": 20, "event": 21}


def known(base: Base) -> Known:
    return Known(FIELDS, base.segments)


async def written(sql: Any, base: Base) -> int:
    """The number of a new tenant that has this base."""
    tenant: int = await sql.fetchval("insert into tenants (name) values ($1) returning tenant", secrets.token_hex(8))
    await sql.executemany(
        "insert into fields (tenant, field, name, kind, slot) values ($1, $2, $3, $4, $5)",
        [(tenant, field.number, name, field.kind, field.slot) for name, field in FIELDS.items()],
    )
    await sql.executemany(
        "insert into choices (tenant, choice, field, value, folded) values ($1, $2, $3, $4, $4)",
        [(tenant, number, number >> 16, word) for (_, word), number in _CHOICE.items()],
    )
    for one in base.people:
        await _person(sql, tenant, one)
    numbers = {operation.key: number for number, operation in enumerate(base.operations, 1)}
    await sql.executemany(
        "insert into operations (tenant, operation, key, kind, category, tags, started_at, stream) "
        "values ($1, $2, $3, $4, $5, $6, $7, $8)",
        [
            (tenant, numbers[one.key], one.key, one.kind, one.category, list(one.tags), one.started_at, one.stream)
            for one in base.operations
        ],
    )
    names = {
        pair: number for number, pair in enumerate(sorted({pair for one in base.happened for pair in _names(one)}), 1)
    }
    await sql.executemany(
        "insert into names (tenant, name, kind, text) values ($1, $2, $3, $4)",
        [(tenant, number, kind, text) for (kind, text), number in names.items()],
    )
    marks = [mark for one in base.happened if one.operation for mark in _marks(one, numbers[one.operation], names)]
    marks += [(compiling.IMPORTS[word], number, 0, contact) for number, word, contact in base.imported]
    marks += [(compiling.RANKED, 0, one.note, one.number) for one in base.people if one.note]
    await sql.execute("select mark($1, $2, $3, $4, $5)", tenant, *_columns(marks))
    marketing = {one.key for one in base.operations if one.stream == "bulk"}
    await sql.execute("select tally($1, $2, $3, $4, $5)", tenant, *_columns([
        tally for one in base.happened for tally in _tallies(one, names, marketing)
    ]))  # fmt: skip
    return tenant


def _columns(rows: list[tuple[int, int, int, int]]) -> list[list[int]]:
    return [[row[at] for row in rows] for at in range(4)]


async def _person(sql: Any, tenant: int, one: Person) -> None:
    arrays: dict[str, list[Any]] = {"text": [], "number": [], "date": []}
    choices: list[int] = []
    for name, value in one.fields.items():
        field = FIELDS[name]
        if field.slot is None:
            choices += [_CHOICE[name, folded(word)] for word in value]
        elif value is not None:
            array = arrays[field.kind]
            array += [None] * (field.slot - len(array))
            array[field.slot - 1] = value
    values: dict[str, Any] = {
        "tenant": tenant,
        "contact": one.number,
        "key": f"#{one.number}",
        "email": one.email,
        "email_key": one.email and one.email.lower(),
        "mobile": one.mobile,
        "professional": one.professional,
        "texts": arrays["text"],
        "folded": [text and folded(text) for text in arrays["text"]],
        "numbers": arrays["number"],
        "dates": arrays["date"],
        "choices": sorted(choices),
    }
    for channel in ("email", "sms", "phone"):
        state = one.channels.get(channel, State())
        values |= {
            f"{channel}_optin": state.optin,
            f"{channel}_status": state.status,
            f"{channel}_left": state.left,
            f"{channel}_opposed": state.opposed,
        }
    places = ", ".join(f"${at}" for at in range(1, len(values) + 1))
    await sql.execute(f"insert into contacts ({', '.join(values)}) values ({places})", *values.values())


def _names(one: Happened) -> Iterator[tuple[str, str]]:
    if one.what == "clicked":
        yield "url", one.url
    if one.what in ("excluded", "event"):
        yield {"excluded": "reason", "event": "event"}[one.what], one.detail


def _marks(one: Happened, operation: int, names: dict[tuple[str, str], int]) -> Iterator[tuple[int, int, int, int]]:
    def mark(fact: int, item: int = 0) -> tuple[int, int, int, int]:
        return fact, operation, item, one.contact

    if one.what in _FATES:
        yield mark(_FATES[one.what])
    elif one.what == "excluded":
        yield mark(3)
        yield mark(3, names["reason", one.detail])
    elif one.what == "bounced":
        yield mark(9)
        yield mark(9, compiling.BOUNCES[one.detail])
    for more in (0, 10) if not one.machine else (10,):
        if one.what in ("opened", "clicked"):
            yield mark(5 + more)
        if one.what == "clicked":
            yield mark(6 + more)
            yield mark(7 + more, names["url", one.url])
            yield mark(8 + more, one.position)


def _tallies(
    one: Happened, names: dict[tuple[str, str], int], marketing: set[str]
) -> Iterator[tuple[int, int, int, int]]:
    if one.what not in _COUNTED:
        return
    seconds = int((one.at - datetime(2020, 1, 1, tzinfo=UTC)).total_seconds())
    if one.what == "delivered" and one.operation in marketing:
        yield 26, 0, one.contact, seconds
    for more in (0, 100) if not one.machine else (100,):
        yield _COUNTED[one.what] + more, 0, one.contact, seconds
        if one.what == "event":
            yield _COUNTED[one.what] + more, names["event", one.detail], one.contact, seconds
