"""A line of a file as what it says of one contact, or why nobody knows. Pure.

A line has the contact's key, the values of the mapped fields, and what it says of the opt-in to e-mail and of the
address. Whether that adds a contact or changes one is decided later (`writing.py`), when all lines are there.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from services.contacts.base.fields import NotSo
from services.contacts.base.folding import folded
from services.contacts.imports import cells
from services.contacts.imports.cells import MAX_SHOWN_CHARS, Value
from services.contacts.imports.columns import OPT_IN, STATUS, Columns, Field, Fields, columns
from shared.mail.addresses import AROUND
from shared.tabular.flags import FLAGS, STATUSES, Status
from shared.tabular.headings import NoHeading, plain, shown
from shared.tabular.objects import Objects
from shared.words.errors import Fault

#: One line: a contact, with as much text as its fields may have.
MAX_LINE_BYTES = 262_144
MAX_COLUMNS = 500
#: Sets of names that objects of one file have: no table has so many forms.
MAX_LAYOUTS = 1000

#: Cells of a column that are remembered, how long they are at most, and how many of a file: 20 MB or so.
_MOST_REMEMBERED = 10_000
_MOST_REMEMBERED_CHARS = 64
_MOST_REMEMBERED_OF_FILE = 100_000
#: What most numbers are: no more digits than are kept, and no zero with a sign (it is added, and has none then).
_USUAL_NUMBER = re.compile(r"-?[0-9]{1,9}(?:\.[0-9]{1,6})?")

#: As it is kept: a number in the way of PostgreSQL, a date as ISO 8601 has it, of what is chosen the numbers; the words
#: themselves of a field that takes new ones.
Kept = str | float | list[int | str] | None


class Line(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a line says of the contact with this key. `values`: of the fields of its layout, in their order; None
    empties (E9). `layout`: its place among those of the file. `opts_in`: whether the contact is subscribed, None where
    the file does not say (E11); `status`: what is known of the address, None likewise (E12)."""

    key: str
    values: list[Kept]
    layout: int = 0
    opts_in: bool | None = None
    status: Status | None = None


class _Remembered(dict[str, Kept]):
    """What cells of a column stand for: most repeat some words, days or numbers, and what is known costs no call of
    ours. `room`: how many more of a file may be remembered, in a list of one."""

    def __init__(self, read: Callable[[str], Kept], room: list[int]) -> None:
        super().__init__()
        self._read = read
        self._room = room

    def __missing__(self, cell: str) -> Kept:
        found = self._read(cell)
        if len(self) < _MOST_REMEMBERED and len(cell) <= _MOST_REMEMBERED_CHARS and self._room[0] > 0:
            self._room[0] -= 1
            self[cell] = found
        return found


class Layout:
    """The lines of a table with these columns (`shared.tabular.rows.Table`). `fields` are those that are written."""

    is_headless = False

    def __init__(self, found: Columns, names: Sequence[str], number: int = 0) -> None:
        self.columns = found
        self.count = found.width
        self.fields = tuple(place.field for place in found.fields)
        addresses = [place.at for place in found.fields if place.field.kind == "address"]
        #: By which a line that a quoted field has swallowed is known again.
        self.address = addresses[0] if addresses else found.key.at
        self.warnings = [f"the column {shown([name])} is no field and was not read" for name in found.unmapped]
        self._number = number
        self._names = [name.strip(AROUND) for name in names]
        self._key = self.fields.index(found.key.field)
        room = [_MOST_REMEMBERED_OF_FILE]
        self._reads = [(place, _reader(field, room)) for place, field in found.fields]

    def row(self, given: list[str], at: str) -> Line | Fault | None:
        try:
            values = [read(given[place]) for place, read in self._reads]
        except NotSo:
            return self._fault(given, at)
        return self.line(values, given, at)

    def _fault(self, given: list[str], at: str) -> Fault:
        """The first of a row that has one."""
        for place, read in self._reads:
            try:
                read(given[place])
            except NotSo as fault:
                return Fault(f"{at}.{self._names[place]}", str(fault))
        raise AssertionError("a cell that could not be read can be")

    def line(self, values: list[Kept], given: Sequence[str], at: str) -> Line | Fault:
        """With the values that were read, and the cells for the rest."""
        key = values[self._key]
        if key is None:
            return Fault(f"{at}.{self._names[self.columns.key.at]}", "empty, but it is the key")
        role = self.columns.opt_in
        try:
            opts_in = None if role is None else _opts_in(given[role])
            role = self.columns.status
            status = None if role is None else _status(given[role])
        except NotSo as fault:
            return Fault(f"{at}.{self._names[role or 0]}", str(fault))
        return Line(folded(str(key)), values, self._number, opts_in, status)


def _reader(field: Field, room: list[int]) -> Callable[[str], Kept]:
    """What reads cells, and makes of them what is kept. NotSo."""
    read = cells.reader(field.kind, field.choices, is_open=field.is_open)
    if field.kind in ("address", "phone"):  # each is another
        return read  # type: ignore[return-value]  # a text or None
    if field.kind == "text":
        return _Remembered(read, room).__getitem__  # type: ignore[arg-type]  # the same
    if field.kind == "number":
        return _Remembered(
            lambda cell: float(cell) + 0.0 if _USUAL_NUMBER.fullmatch(cell) else kept(field, read(cell)), room
        ).__getitem__
    return _Remembered(lambda cell: kept(field, read(cell)), room).__getitem__


def kept(field: Field, value: Value) -> Kept:
    """A value as it is kept."""
    match value:
        case bool():
            return [field.choices["yes" if value else "no"]]
        case Decimal():
            return float(value)
        case list() if field.is_open:
            return [*value]
        case list():
            return [*sorted(field.choices[word] for word in value)]
        case str() if field.kind == "choice":
            return [field.choices[value]]
    return value


def _opts_in(cell: str) -> bool:
    """An empty cell has left, as `Non` has."""
    word = cell.strip(AROUND).casefold()
    if word and word not in FLAGS:
        raise NotSo(f"neither Oui nor Non: {cell[:MAX_SHOWN_CHARS]!r}")
    return FLAGS.get(word, False)


def _status(cell: str) -> Status | None:
    """An empty cell says nothing."""
    word = plain(cell)
    if word and word not in STATUSES:
        raise NotSo(f"not Hard, Soft or Valide: {cell[:MAX_SHOWN_CHARS]!r}")
    return STATUSES.get(word)


class Form:
    """Of one file (`shared.tabular.rows.Shape`)."""

    max_line_bytes = MAX_LINE_BYTES
    max_columns = MAX_COLUMNS

    def __init__(self, fields: Fields, mapping: Mapping[str, str | None] | None = None) -> None:
        self._fields = fields
        self._mapping = mapping

    def has_address(self, fields: Sequence[str]) -> bool:
        """Whether a heading, cut by some delimiter, has a column for the key."""
        try:
            self.read(fields)
        except NoHeading:
            return False
        return True

    def read(self, fields: Sequence[str]) -> Layout:
        """NoHeading."""
        return Layout(columns(fields, self._fields, self._mapping), fields)

    def of_object(self, names: Sequence[str], number: int) -> Layout:
        """Of an object with these names, some of those of the mapping. NoHeading."""
        mapping = self._mapping
        if mapping is not None:
            mapping = {name: target for name, target in mapping.items() if name in names}
        return Layout(columns(names, self._fields, mapping), names, number)


class Contacts:
    """Contacts that come as JSON objects: bytes in, lines out, numbered from 1.

    A name that an object does not have is not mapped for its contact, so that the field stays as it is; null and ""
    empty it."""

    encoding = "utf-8"
    was_found = False

    def __init__(self, form: Form) -> None:
        self._form = form
        self._objects = Objects(MAX_LINE_BYTES, wrapped=False)
        self._by_names: dict[tuple[str, ...], Layout] = {}
        self.warnings: list[Fault] = []

    @property
    def layouts(self) -> list[Layout]:
        """By their number."""
        return list(self._by_names.values())

    @property
    def is_over(self) -> bool:
        """Nothing that follows is read."""
        return self._objects.is_over

    def feed(self, received: bytes, *, last: bool = False) -> Iterator[tuple[int, Line | Fault | None]]:
        for number, item in self._objects.feed(received, last=last):
            yield number, item if isinstance(item, Fault) else self._line(item, f"item {number}")

    def _line(self, item: Any, at: str) -> Line | Fault | None:
        if not isinstance(item, dict):
            return Fault(at, "not an object")
        try:
            layout = self._layout(tuple(item), at)
        except NoHeading as fault:
            return Fault(at, str(fault))
        return _of_object(layout, list(item.values()), at)

    def _layout(self, names: tuple[str, ...], at: str) -> Layout:
        """NoHeading."""
        found = self._by_names.get(names)
        if found is None:
            if len(names) > MAX_COLUMNS:
                raise NoHeading(f"more than {MAX_COLUMNS} names")
            if len(self._by_names) == MAX_LAYOUTS:
                raise NoHeading(f"the objects before have {MAX_LAYOUTS} other sets of names")
            found = self._form.of_object(names, len(self._by_names))
            self._by_names[names] = found
            told = {warning.what for warning in self.warnings}
            self.warnings += [Fault(at, what) for what in found.warnings if what not in told]
        return found


def _of_object(layout: Layout, given: Sequence[Any], at: str) -> Line | Fault:
    values: list[Kept] = []
    texts = [""] * len(given)
    named = at
    try:
        for place, field in layout.columns.fields:
            named = f"{at}.{field.name}"
            values.append(kept(field, _value(field, given[place])))
        for role, known in ((OPT_IN, layout.columns.opt_in), (STATUS, layout.columns.status)):
            named = f"{at}.{role}"
            if known is not None:
                texts[known] = _text(given[known])
    except NotSo as fault:
        return Fault(named, str(fault))
    return layout.line(values, texts, at)


def _value(field: Field, given: Any) -> Value:
    cell = cells.of_json(given)
    if isinstance(cell, str):
        return cells.reader(field.kind, field.choices, is_open=field.is_open)(cell)
    if field.kind != "choices":
        raise NotSo("a list, but the field has one value")
    return cells.parts(cell, field.choices, is_open=field.is_open)


def _text(given: Any) -> str:
    cell = cells.of_json(given)
    if isinstance(cell, list):
        raise NotSo("a list, but there is one answer")
    return cell
