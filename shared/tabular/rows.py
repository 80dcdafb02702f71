"""Rows of a table (RFC 4180), in any number, cut anywhere, each as what it stands for. Pure.

A row that cannot be read is named by its line and changes nothing else. A row costs its length: each byte is looked at
once, or twice where a quote had no end.
"""

from collections.abc import Iterator, Sequence
from typing import Generic, Protocol, TypeGuard, TypeVar

from shared.mail import addresses
from shared.tabular import headings
from shared.tabular.lines import Lines
from shared.words.errors import Fault

#: Lines that a quoted field has taken in and that are rows by themselves: so many are no chance. Where the row that
#: they would be part of is wrong itself, one is enough.
_SWALLOWED = 3
#: Of a cell's lines so many are looked at: what they are, the others are.
_LINES_LOOKED_AT = 100
#: What is tried on a line that is not UTF-8, where nobody said what it is: what spreadsheets write in Western Europe.
OTHER = "cp1252"
#: And how people call it.
OTHER_NAME = "windows-1252"

T = TypeVar("T")
Read = TypeVar("Read", covariant=True)


class Table(Protocol[Read]):
    """What a heading makes of the rows behind it. `count` is how many columns there are, `address` which of them is the
    address; `warnings` says what was taken though it is of no use; `is_headless`: what was read as a heading is a row,
    too."""

    @property
    def count(self) -> int: ...

    @property
    def address(self) -> int: ...

    @property
    def warnings(self) -> Sequence[str]: ...

    @property
    def is_headless(self) -> bool: ...

    def row(self, cells: list[str], at: str) -> Read | Fault | None:
        """What a row of as many cells, or more that are empty, stands for. None if it is nothing."""


class Shape(Protocol[Read]):
    """What kind of table is expected."""

    @property
    def max_line_bytes(self) -> int: ...

    @property
    def max_columns(self) -> int: ...

    def has_address(self, fields: Sequence[str]) -> bool:
        """Whether a heading, cut by some delimiter, has a column for the address."""

    def read(self, fields: Sequence[str]) -> Table[Read]:
        """headings.NoHeading."""


class _NoRow(ValueError):
    """What the line cannot be a row for."""


class Fields:
    """The fields of one row, line by line: a quote opens a field at its beginning and nowhere else, and in a field that
    is open two of them stand for one."""

    __slots__ = ("_delimiter", "_max_columns", "_open", "found")

    def __init__(self, delimiter: str, max_columns: int) -> None:
        self.found: list[str] = []
        self._delimiter = delimiter
        self._max_columns = max_columns
        #: What there is of a quoted field that is open.
        self._open: list[str] | None = None

    def add(self, line: str) -> bool:
        """Whether the row is complete. _NoRow."""
        if self._open is None and '"' not in line:  # as most are
            self.found = line.split(self._delimiter, self._max_columns)
            if len(self.found) > self._max_columns:
                raise _NoRow(f"more than {self._max_columns} fields")
            return True
        at = 0 if self._open is None else self._quoted(line, 0)
        while 0 <= at <= len(line):
            if len(self.found) >= self._max_columns:
                raise _NoRow(f"more than {self._max_columns} fields")
            if line.startswith('"', at):
                self._open = []
                at = self._quoted(line, at + 1)
            else:
                end = line.find(self._delimiter, at)
                end = len(line) if end < 0 else end
                self.found.append(line[at:end])
                at = end + 1
        return self._open is None

    def _quoted(self, line: str, at: int) -> int:
        """Where the next field begins; -1 if this one has no end in the line."""
        assert self._open is not None
        while (end := line.find('"', at)) >= 0:
            self._open.append(line[at:end])
            at = end + 1
            if line.startswith('"', at):
                self._open.append('"')
                at += 1
                continue
            if at < len(line) and not line.startswith(self._delimiter, at):
                raise _NoRow("a field goes on after the quote that ends it")
            self.found.append("".join(self._open))
            self._open = None
            return at + 1
        self._open += (line[at:], "\n")
        return -1


class Rows(Generic[T]):
    """Bytes in, rows out. Between the fields stands `delimiter`, or what a line `sep=` before the heading says, or what
    makes a heading of it. Each line is told, with None where there is nothing, so that whoever reads can count what it
    costs.

    A quoted field that has no end takes its own row with it and no other: those that it seemed to hold are read again,
    one by one. So are those in a field whose end was that of another.

    With `finds`, where nobody said a charset, the first line that is not plain ASCII says which it is: UTF-8 if it is
    that, else windows-1252, for all that follows. `encoding` tells it."""

    def __init__(
        self, shape: Shape[T], charset: str | None = "utf-8", delimiter: str = "", *, finds: bool = False
    ) -> None:
        self._shape = shape
        self._lines = Lines(charset or "utf-8", shape.max_line_bytes)
        self._is_undecided = finds and charset is None
        #: How lines are decoded that were handed on as they are.
        self._encoding = "utf-8"
        #: Lines of a row that is open, with their numbers, and how many characters they have.
        self._held: list[tuple[int, str]] = []
        self._held_chars = 0
        self._fields: Fields | None = None
        self.table: Table[T] | None = None
        self._delimiter = delimiter
        #: The heading is invalid: nothing that follows can be taken.
        self.is_over = False
        #: What was taken though it is of no use.
        self.warnings: list[Fault] = []

    @property
    def encoding(self) -> str:
        """In which encoding the table is, as far as that is known yet."""
        return self._encoding if self._encoding != "utf-8" else self._lines.encoding.name

    @property
    def was_found(self) -> bool:
        """Nobody said that it is not UTF-8."""
        return self._encoding != "utf-8"

    @property
    def delimiter(self) -> str:
        """What stands between the fields; "" as long as that is not known."""
        return self._delimiter

    def feed(self, received: bytes, *, last: bool = False) -> Iterator[tuple[int, T | Fault | None]]:
        for number, line in self._lines.feed(received, last=last):
            if self.is_over:
                return
            if self._is_plain(line):
                text = line.decode() if line.isascii() else self._decoded(number, line)
                yield number, text if isinstance(text, Fault) else self._plain(number, text)
            else:
                yield from self._line(number, line)
        if last and self._held:
            yield from self._again("a quoted field has no end", last=True)

    def _is_plain(self, line: bytes | Fault) -> TypeGuard[bytes]:
        """A row by itself, as nearly all are: nothing is open, and there is no quote in it."""
        return not self._held and self.table is not None and type(line) is bytes and b'"' not in line

    def _plain(self, number: int, text: str) -> T | Fault | None:
        cells = text.split(self._delimiter, self._shape.max_columns)
        if len(cells) > self._shape.max_columns:
            return Fault(f"line {number}", f"more than {self._shape.max_columns} fields")
        return self._row(number, cells)

    def _line(self, number: int, line: bytes | Fault) -> Iterator[tuple[int, T | Fault | None]]:
        text = line if isinstance(line, Fault) else self._decoded(number, line)
        if isinstance(text, Fault):
            if self._held:
                yield from self._again("a quoted field has no end", last=True)
            self.is_over = self.table is None
            yield number, text
            return
        self._held.append((number, text))
        self._held_chars += len(text) + 1
        if self._held_chars > self._shape.max_line_bytes + 1:
            yield from self._again("a quoted field has no end")
        else:
            yield from self._added(number, text)

    def _decoded(self, number: int, line: bytes) -> str | Fault:
        if self._is_undecided and not line.isascii():
            self._decide(line)
        try:
            return line.decode(self._encoding)
        except UnicodeDecodeError as error:
            name = "UTF-8" if self._encoding == "utf-8" else OTHER_NAME
            what = f"not {name}: byte 0x{line[error.start]:02X} at {error.start}"
            hint = "; if it is written in another encoding, say so: Content-Type: text/csv; charset=windows-1252"
            return Fault(f"line {number}", what + (hint if self.table is None else ""))

    def _decide(self, line: bytes) -> None:
        self._is_undecided = False
        if self._lines.encoding.is_converted:
            return
        try:
            line.decode()
        except UnicodeDecodeError:
            self._encoding = OTHER

    def _added(self, number: int, text: str) -> Iterator[tuple[int, T | Fault | None]]:
        """The line that was held last, read: it opens a row, goes on with it or ends it."""
        if self._fields is None and not self._begins(text):
            self._forget()
            yield number, None
            return
        assert self._fields is not None
        try:
            if not self._fields.add(text):
                yield number, None
                return
        except _NoRow as fault:
            yield from self._again(str(fault))
            return
        (first, _), *others = self._held
        row = self._row(first, self._fields.found)
        if others and self._has_swallowed(row, others):
            yield from self._again("a quoted field ends with another row's")
            return
        if others and isinstance(row, Fault):
            row = Fault(row.at, f"{row.what}; the row goes on to line {others[-1][0]}")
        self._forget()
        yield first, row

    def _begins(self, text: str) -> bool:
        """Whether a row begins with this line; what is before the heading may say how rows are read."""
        if not text.strip():
            return False
        if self.table is None and (found := headings.separator(text)) is not None:
            self._delimiter = found
            return False
        if not self._delimiter:
            self._delimiter = self._delimiter_of(text)
        self._fields = Fields(self._delimiter, self._shape.max_columns)
        return True

    def _again(self, what: str, *, last: bool = False) -> Iterator[tuple[int, T | Fault | None]]:
        """The row that is open is none: each of its lines but the first stands for itself. The last one may open a row
        that goes on, unless nothing more comes."""
        (first, _), *others = self._held
        self._forget()
        self.is_over = self.table is None
        if len(others) > 1:
            what += f"; lines {others[0][0]} to {others[-1][0]} are read one by one"
        elif others:
            what += f"; line {others[0][0]} is read by itself"
        yield first, Fault(f"line {first}", what)
        for number, text in others:
            if self.is_over:
                return
            self._held, self._held_chars = [(number, text)], len(text) + 1
            yield from self._added(number, text)
            if self._held and (last or number != others[-1][0]):
                self._forget()
                yield number, Fault(f"line {number}", "a quoted field has no end")

    def _forget(self) -> None:
        self._held, self._held_chars, self._fields = [], 0, None

    def _has_swallowed(self, row: T | Fault | None, others: Sequence[tuple[int, str]]) -> bool:
        if self.table is None:
            return False
        looked_at = others[:_LINES_LOOKED_AT]
        rows = sum(self._looks_like_row(text, self.table) for _, text in looked_at)
        return 2 * rows >= len(looked_at) and rows >= (1 if isinstance(row, Fault) else _SWALLOWED)

    def _looks_like_row(self, line: str, table: Table[T]) -> bool:
        cells = line.split(self._delimiter, self._shape.max_columns)
        if len(cells) < table.count:
            return False
        try:
            addresses.parse(cells[table.address].strip(addresses.AROUND + '"'))
        except addresses.InvalidAddress:
            return False
        return True

    def _row(self, number: int, cells: list[str]) -> T | Fault | None:
        if self.table is None:
            try:
                self.table = self._shape.read(cells)
            except headings.NoHeading as fault:
                self.is_over = True
                return Fault(f"line {number}", str(fault))
            self.warnings = [Fault(f"line {number}", what) for what in self.table.warnings]
            if not self.table.is_headless:
                return None
        return _fitted(self.table, cells, f"line {number}")

    def _delimiter_of(self, heading: str) -> str:
        """The one that makes a heading with an address of it, and most columns."""

        def columns(delimiter: str) -> tuple[bool, int]:
            fields = Fields(delimiter, self._shape.max_columns)
            try:
                fields.add(heading)
            except _NoRow:
                return False, 0
            return self._shape.has_address(fields.found), len(fields.found)

        return max(headings.DELIMITERS, key=columns)


def _fitted(table: Table[T], cells: list[str], at: str) -> T | Fault | None:
    """What a row stands for, None if all its cells are empty. Spreadsheets write empty cells behind the last column."""
    if not any(map(is_seen, cells)):
        return None
    if len(cells) < table.count or (len(cells) > table.count and any(map(is_seen, cells[table.count :]))):
        return Fault(at, f"{len(cells)} fields, but the heading has {table.count}: {headings.shown(cells)}")
    if table.count == 1 and '"' not in cells[0] and any(sign in cells[0] for sign in headings.BETWEEN):
        return Fault(at, f"more than one field, but the heading has 1: {headings.shown(cells[:1])}")
    return table.row(cells, at)


def is_seen(cell: str) -> bool:
    """Whether there is anything in a cell."""
    return bool(cell.strip(addresses.AROUND))
