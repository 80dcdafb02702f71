"""What the first lines of a table of contacts are, column by column, before anybody imports it. Pure."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from services.contacts.imports.columns import OPT_IN, STATUS, Fields
from services.contacts.imports.lines import Form, Layout
from services.contacts.imports.reading import Asked
from shared.mail.addresses import AROUND
from shared.tabular import signs
from shared.tabular.encodings import charset
from shared.tabular.headings import NoHeading
from shared.tabular.rows import Rows
from shared.words.errors import Fault

#: So much of a file is looked at.
MAX_BYTES = 262_144
MAX_LINES = 10


class Seen(NamedTuple):
    """A line as it stands, and why it would be refused, "" if it would not."""

    line: int
    cells: list[str]
    fault: str


class Preview(NamedTuple):
    """`targets`: by column what it would be, None for nothing. `problem`: why nothing of the file can be read."""

    encoding: str
    delimiter: str
    headings: list[str]
    targets: list[str | None]
    lines: list[Seen]
    problem: str


class _Table:
    """A heading of any kind, and the rows behind it (`shared.tabular.rows.Table`)."""

    is_headless = False
    warnings: Sequence[str] = ()

    def __init__(self, names: Sequence[str], layout: Layout | None, why: str) -> None:
        self.names = [name.strip(AROUND) for name in names]
        self.layout = layout
        self.why = why
        self.count = len(names)
        self.address = 0 if layout is None else layout.address

    def row(self, cells: list[str], at: str) -> tuple[list[str], str]:
        judged = None if self.layout is None else self.layout.row(cells, at)
        return cells[: self.count], f"{judged.at}: {judged.what}" if isinstance(judged, Fault) else ""


class _Shape(Form):
    """Of a file that may have no column for the key yet."""

    def read(self, fields: Sequence[str]) -> _Table:  # type: ignore[override]  # a table that shows its cells
        try:
            return _Table(fields, super().read(fields), "")
        except NoHeading as why:
            return _Table(fields, None, str(why))

    def has_address(self, fields: Sequence[str]) -> bool:
        return self.read(fields).layout is not None


def preview(asked: Asked, received: bytes, *, is_all: bool) -> Preview:
    """Of the first bytes of a table. UnknownCharset."""
    said = charset(asked.charset) if asked.charset else None
    fields = Fields(asked.fields, asked.key)
    rows: Rows[tuple[list[str], str]] = Rows(_Shape(fields, asked.mapping), said, asked.delimiter, finds=True)
    lines: list[Seen] = []
    problem = f"the file is {kind}" if (kind := signs.kind_of(received)) else ""
    if not problem:
        for number, found in rows.feed(received, last=is_all):
            if isinstance(found, Fault):
                lines.append(Seen(number, [], f"{found.at}: {found.what}"))
            elif found is not None:
                lines.append(Seen(number, *found))
            if len(lines) == MAX_LINES:
                break
    table = rows.table
    if not isinstance(table, _Table):
        if not problem:
            problem = lines[0].fault if lines else "the file has no line"
        return Preview(rows.encoding, rows.delimiter, [], [], [], problem)
    targets = _targets(table, fields, asked.mapping)
    return Preview(rows.encoding, rows.delimiter, table.names, targets, lines, table.why)


def _targets(table: _Table, fields: Fields, mapping: Mapping[str, str | None] | None) -> list[str | None]:
    """What each column would be; where the heading cannot be used, what each would be by itself."""
    if table.layout is None:
        said = mapping or {}
        return [said.get(name) if mapping is not None else fields.guessed(name) for name in table.names]
    found: list[str | None] = [None] * table.count
    for at, field in table.layout.columns.fields:
        found[at] = field.name
    for role, place in ((OPT_IN, table.layout.columns.opt_in), (STATUS, table.layout.columns.status)):
        if place is not None:
            found[place] = role
    return found
