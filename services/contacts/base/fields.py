"""The fields of a tenant's contacts, and their values: what is one of a kind, and how it is kept (E4). Pure.

    text     up to 2,000 characters; compared without case (E25), so it is kept folded beside what was written
    number   up to 15 digits                        date      a day, as 2026-01-31
    choice   one of the field's words               choices   several of them
    yes_no   true or false

Some are there from the start (`BUILT_IN`), the others the tenant makes. A value that is empty, in whatever way, is
None: an empty text, a list without words. `tags` takes words that it has not met yet; any other field that is chosen
from refuses them.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any, Literal, TypeAlias

import msgspec

from services.contacts.base.folding import folded
from shared.mail import addresses
from shared.mail.addresses import AROUND

Kind = Literal["text", "number", "date", "choice", "choices", "yes_no"]
#: What stands in a field. Numbers that are whole are int.
Value: TypeAlias = str | int | float | bool | date | list[str] | None

#: More than any form asks for, and what an index of PostgreSQL takes.
MAX_TEXT_CHARS = 2_000
#: Of a number, which is a float8: more would not come back as they were written.
MAX_DIGITS = 15
MAX_CHOICES = 5_000
MAX_CHOICE_CHARS = 200
#: Fields of one tenant, those from the start too.
MAX_FIELDS = 500
MAX_LABEL_CHARS = 200
#: What segments, imports and templates call a field.
NAME = r"^[a-z][a-z0-9_]{0,59}(?!\n)$"
YES, NO = "yes", "no"
#: Kinds whose values are chosen: numbers of words, in one array.
CHOSEN: tuple[Kind, ...] = ("choice", "choices", "yes_no")
#: Names that are columns of every contact, or would be taken for one.
TAKEN = frozenset((
    *("key", "email", "mobile", "telephone", "professional", "fields", "channels", "contact", "copy", "tenant"),
    *("created_at", "updated_at", "last_action_at", "optin", "status"),
))  # fmt: skip
#: Those that may be the key of uniqueness besides texts (E1).
KEY_COLUMNS = ("email", "mobile")
#: From the start: name, kind, label.
BUILT_IN: tuple[tuple[str, Kind, str], ...] = (
    ("last_name", "text", "Last name"),
    ("first_name", "text", "First name"),
    ("company", "text", "Company"),
    ("address", "text", "Address"),
    ("postcode", "text", "Postcode"),
    ("town", "text", "Town"),
    ("country", "text", "Country"),
    ("language", "text", "Language"),
    ("time_zone", "text", "Time zone"),
    ("birthday", "date", "Birthday"),
    ("tags", "choices", "Tags"),
)
#: The one that takes new words.
TAGS = "tags"

_PHONE_SIGNS = re.compile(r"[\s.()/\u00a0\u202f-]+")
_PHONE = re.compile(r"\+[1-9][0-9]{6,14}")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


class NotSo(ValueError):
    """It is no value of that kind. The message says what was expected."""


class Field(msgspec.Struct, frozen=True):
    """`number` is its own, `slot` its place, from 1, among those of its kind (0 of what is chosen). `choices`: the
    number of each of its words, in their order; `labels` what people see of them, where that is another."""

    number: int
    name: str
    kind: Kind
    label: str = ""
    slot: int = 0
    choices: Mapping[str, int] = {}
    labels: Mapping[str, str] = {}
    built_in: bool = False


def value(field: Field, given: Any) -> Value:
    """What JSON says for a field, as its value. NotSo."""
    return _READERS[field.kind](field, given)


def unknown_tags(field: Field, found: Value) -> list[str]:
    """Words of a value that the field does not have yet."""
    known = {folded(word) for word in field.choices}
    return [word for word in found if folded(word) not in known] if isinstance(found, list) else []


def _text(_field: Field, given: Any) -> str | None:
    if given is None:
        return None
    if not isinstance(given, str):
        raise NotSo("expected text")
    return text(given)


def text(given: str) -> str | None:
    """Without what is unseen around it; None if nothing is left. NotSo."""
    found = given.strip(AROUND)
    if len(found) > MAX_TEXT_CHARS:
        raise NotSo(f"longer than {MAX_TEXT_CHARS:,} characters")
    if _CONTROL.search(found):
        raise NotSo("has a control character")
    return found or None


def _number(_field: Field, given: Any) -> int | float | None:
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise NotSo("expected a number")
    if not math.isfinite(given) or abs(given) >= 10**MAX_DIGITS:
        raise NotSo(f"a number has up to {MAX_DIGITS} digits")
    return number(float(given))


def number(found: float) -> int | float:
    """As it is shown: whole ones without a point."""
    return int(found) if found.is_integer() else found


def _date(_field: Field, given: Any) -> date | None:
    if given is None or given == "":
        return None
    if not isinstance(given, str) or not _DATE.fullmatch(given):
        raise NotSo("expected a date such as 2026-01-31")
    try:
        return date.fromisoformat(given)
    except ValueError:
        raise NotSo("there is no such day") from None


def _choice(field: Field, given: Any) -> list[str] | None:
    if given is None or given == "":
        return None
    if not isinstance(given, str):
        raise NotSo("expected one of the field's words")
    return _words(field, [given])


def _choices(field: Field, given: Any) -> list[str] | None:
    if given is None:
        return None
    if not isinstance(given, list) or not all(isinstance(word, str) for word in given):
        raise NotSo("expected a list of the field's words")
    return _words(field, given)


def _yes_no(_field: Field, given: Any) -> bool | None:
    if given is None or isinstance(given, bool):
        return given
    raise NotSo("expected true or false")


_READERS = {
    "text": _text,
    "number": _number,
    "date": _date,
    "choice": _choice,
    "choices": _choices,
    "yes_no": _yes_no,
}


def _words(field: Field, given: Sequence[str]) -> list[str] | None:
    """Each once, as the field writes them, in the order of the field."""
    known = {folded(word): word for word in field.choices}
    found: dict[str, None] = {}
    new: dict[str, str] = {}
    for one in given:
        written = word(one)
        if written is None:
            continue
        if folded(written) in known:
            found[known[folded(written)]] = None
        elif field.name == TAGS and field.built_in:
            new.setdefault(folded(written), written)
        else:
            raise NotSo(f"{written[:40]!r} is none of {_shown(field.choices)}")
    order = list(field.choices)
    return sorted(found, key=order.index) + list(new.values()) or None


def word(given: str) -> str | None:
    """A word that can be chosen; None if there is nothing to see in it. NotSo."""
    found = text(given)
    if found is not None and len(found) > MAX_CHOICE_CHARS:
        raise NotSo(f"longer than {MAX_CHOICE_CHARS} characters")
    return found


def _shown(words: Iterable[str]) -> str:
    first = [repr(one) for one in words][:12]
    return ", ".join(first) if first else "the field's words: it has none"


def email(given: str) -> str | None:
    """In its one form; None if there is nothing to see. NotSo."""
    if not given.strip(AROUND):
        return None
    try:
        return str(addresses.parse(given))
    except addresses.InvalidAddress as fault:
        raise NotSo(f"not an address: {fault}") from None


def phone(given: str) -> str | None:
    """As E.164 writes it, from what people write with the code of the country. NotSo."""
    found = _PHONE_SIGNS.sub("", given)
    if not found:
        return None
    if found.startswith("00"):
        found = f"+{found[2:]}"
    if not _PHONE.fullmatch(found):
        raise NotSo("expected a telephone number with the code of its country, such as +33612345678")
    return found


def key(key_field: str, given: str) -> str:
    """The key of the contact that is named so, under a key of uniqueness (E1). NotSo."""
    readers = {"email": email, "mobile": phone}
    found = readers.get(key_field, text)(given)
    if found is None:
        raise NotSo(f"empty, but {key_field} is the key")
    return folded(found)


# How values are kept


class Kept(msgspec.Struct, frozen=True):
    """The columns of a contact that have the values of its fields. An element that is absent is as one that is
    null."""

    texts: list[str | None]
    folded: list[str | None]
    numbers: list[float | None]
    dates: list[date | None]
    choices: list[int]


def kept(fields: Iterable[Field], values: Mapping[str, Value]) -> Kept:
    """The values, by the field's name, in their places. Words are to be known by then."""
    slots: dict[Kind, dict[int, Any]] = {"text": {}, "number": {}, "date": {}}
    chosen: list[int] = []
    for field in fields:
        found = values.get(field.name)
        if found is None:
            continue
        if field.kind in CHOSEN:
            chosen += _numbers(field, found)
        else:
            slots[field.kind][field.slot] = float(found) if isinstance(found, int | float) else found
    texts: list[str | None] = _spread(slots["text"])
    return Kept(
        texts,
        [None if one is None else folded(one) for one in texts],
        _spread(slots["number"]),
        _spread(slots["date"]),
        sorted(chosen),
    )


def values(fields: Iterable[Field], row: Mapping[str, Any]) -> dict[str, Value]:
    """The values that are not empty, by the field's name, from the columns of a contact."""
    chosen = set(row["choices"])
    columns = {"text": row["texts"], "number": row["numbers"], "date": row["dates"]}
    found: dict[str, Value] = {}
    for field in fields:
        if field.kind in CHOSEN:
            words = [word for word, number_ in field.choices.items() if number_ in chosen] if chosen else []
            if words:
                found[field.name] = words[0] == YES if field.kind == "yes_no" else words
        elif len(columns[field.kind]) >= field.slot and (one := columns[field.kind][field.slot - 1]) is not None:
            found[field.name] = number(one) if field.kind == "number" else one
    return found


def shown(field: Field, found: Value) -> Any:
    """As JSON has it; the word itself of a field that has one."""
    if isinstance(found, date):
        return found.isoformat()
    return found[0] if isinstance(found, list) and field.kind == "choice" else found


def _numbers(field: Field, found: Value) -> list[int]:
    if isinstance(found, bool):
        return [field.choices[YES if found else NO]]
    known = {folded(word): number_ for word, number_ in field.choices.items()}
    assert isinstance(found, list)
    return [known[folded(word)] for word in found]


def _spread(by_slot: Mapping[int, Any]) -> list[Any]:
    return [by_slot.get(slot) for slot in range(1, max(by_slot, default=0) + 1)]
