"""A contact as a recipient: address, name, the fields that the content names, or why they are left out. Pure.

Who is not addressable stays in the selection and is excluded with the reason (E6, E16). Opt-in, leaving and objections
are about marketing: of other mail, which nobody opts in to, only an address that is missing or dead keeps somebody out.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple

import msgspec

from services.contacts.base import channels, fields
from services.contacts.base.channels import State
from services.contacts.base.fields import Field
from shared.redis.recipients import Waiting
from shared.words.consent import MARKETING_STREAM, Declared
from shared.words.targets import MAX_VARIABLES_BYTES, SHARED, TOO_LARGE

#: Why mail that is no marketing is not sent either.
_ALWAYS = ("no_address", "hard")
#: Columns of a contact that content may name besides fields.
COLUMNS = ("mobile", "telephone")
#: What a message shows of its contact: its number, and the key of one whose key is not its address.
NUMBER, KEY, COPY = "contact", "key", "copy"
_MAX_METADATA_CHARS = 500
_MAX_NAME_CHARS = 200
_encoder = msgspec.msgpack.Encoder()
_EMPTY = msgspec.Raw(_encoder.encode({}))
_NAME_FIELDS = ("first_name", "last_name")
_PERSON = {optin: Declared("person", optin).code for optin in (None, True, False)}
_PROFESSIONAL = {optin: Declared("professional", optin).code for optin in (None, True, False)}


class _Read(NamedTuple):
    """How a variable is read off a row."""

    name: str
    of: Callable[[Mapping[str, Any]], Any]


class Recipients:
    """Contacts of a tenant as recipients of a job of that stream, with the fields of these names (None: all)."""

    def __init__(self, stream: str, known: Mapping[str, Field], wanted: Iterable[str] | None) -> None:
        names = {*known, *COLUMNS} if wanted is None else set(wanted)
        self._is_marketing = stream == MARKETING_STREAM
        self._read = [_Read(name, _reader(field)) for name, field in known.items() if name in names]
        self._columns = [name for name in COLUMNS if name in names]
        self._name = [_reader(known[name]) for name in _NAME_FIELDS if name in known]

    def of(self, row: Mapping[str, Any]) -> Waiting:
        """`row`: the columns of `store.page`."""
        email, professional, optin = row["email"], row["professional"], row["email_optin"]
        rejected: str | None = channels.why_not(
            State(optin, row["email_status"], row["email_left"], row["email_opposed"]),
            has_address=email is not None,
            professional=professional,
        )
        if not self._is_marketing and rejected not in _ALWAYS:
            rejected = None
        variables = _EMPTY
        if rejected is None:
            variables = msgspec.Raw(_encoder.encode(self._variables(row)))
            if len(variables) > MAX_VARIABLES_BYTES:
                rejected, variables = TOO_LARGE, _EMPTY
        return Waiting(
            email=email or "",
            name=self._called(row),
            variables=variables,
            metadata=_metadata(row),
            rejected=rejected,
            declared=(_PROFESSIONAL if professional else _PERSON)[optin],
        )

    def _variables(self, row: Mapping[str, Any]) -> dict[str, Any]:
        found = {name: value for name, of in self._read if (value := of(row)) is not None}
        for name in self._columns:
            if (value := row[name]) is not None:
                found[name] = value
        return found

    def _called(self, row: Mapping[str, Any]) -> str:
        """In one line, as the name beside an address is; "" if it does not fit there."""
        parts = [part for of in self._name if (part := of(row)) is not None]
        name = " ".join(" ".join(parts).split())
        return name if len(name) <= _MAX_NAME_CHARS and name.isprintable() else ""


def without(one: Waiting) -> Waiting:
    """Excluded, because another contact of the job has the address, and the job takes it once (E3)."""
    return msgspec.structs.replace(one, rejected=SHARED, variables=_EMPTY)


def _metadata(row: Mapping[str, Any]) -> dict[str, str]:
    told = {NUMBER: str(row["contact"])}
    key = row["key"]
    if key != row["email_key"] and len(key) <= _MAX_METADATA_CHARS:
        told[KEY] = key
    if row["copy"]:
        told[COPY] = str(row["copy"])
    return told


def _reader(field: Field) -> Callable[[Mapping[str, Any]], Any]:
    """What the field of a row has, as a template prints it; None if it is empty."""
    if field.kind in fields.CHOSEN:
        return _chosen(field)
    column, place = {"text": "texts", "number": "numbers", "date": "dates"}[field.kind], field.slot - 1

    def read(row: Mapping[str, Any]) -> Any:
        array: Sequence[Any] = row[column]
        found = array[place] if len(array) > place else None
        if isinstance(found, date):
            return found.isoformat()
        return fields.number(found) if isinstance(found, float) else found

    return read


def _chosen(field: Field) -> Callable[[Mapping[str, Any]], Any]:
    words = {number: word for word, number in field.choices.items()}

    def read(row: Mapping[str, Any]) -> Any:
        found = [words[number] for number in row["choices"] if number in words]
        if not found:
            return None
        if field.kind == "yes_no":
            return found[0] == fields.YES
        return found[0] if field.kind == "choice" else found

    return read


def named(uses: Sequence[str], most: int) -> set[str] | None:
    """The variables that a content names, of paths such as `order.total`; None, which is all, where it may name more
    than so many, which are not told."""
    return None if len(uses) >= most else {path.partition(".")[0] for path in uses}
