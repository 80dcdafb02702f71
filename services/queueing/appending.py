"""Recipients that come as a stream: lines of JSON or rows of CSV, in any number, cut anywhere. Pure.

A line that cannot be read is named by its number and changes nothing else, so a list of a million with three bad lines
is taken but for the three. A row costs its length: each byte is looked at once, or twice where a quote had no end.
"""

from collections.abc import Iterator, Sequence

from services.queueing import headings
from services.queueing.encodings import Encoding
from services.queueing.recipients import (
    MAX_METADATA,
    MAX_RECIPIENT_BYTES,
    MAX_VARIABLES,
    Recipient,
    fit_recipient,
    read_recipient,
)
from shared.mail import addresses
from shared.words.errors import Fault

#: One recipient with their variables; what is longer is not a line.
MAX_LINE_BYTES = MAX_RECIPIENT_BYTES
#: Columns of a heading: as much as a recipient may have by any other door.
MAX_COLUMNS = len(headings.ALIASES) + MAX_METADATA + MAX_VARIABLES
#: What people and spreadsheets of some languages write for yes and no.
_FLAGS = dict.fromkeys(("1", "true", "yes", "y", "oui", "vrai", "wahr", "ja", "si", "sí", "verdadero", "vero"), True)
_FLAGS |= dict.fromkeys(("0", "false", "no", "n", "non", "faux", "falsch", "nein", "nee", "falso"), False)
_KINDS = ("person", "professional")
#: Shown of a cell that is wrong.
_MAX_CELL_SHOWN = 40
#: Lines that a quoted field has taken in and that are rows by themselves: so many are no chance. Where the row that
#: they would be part of is wrong itself, one is enough.
_SWALLOWED = 3
#: Of a cell's lines so many are looked at: what they are, the others are.
_LINES_LOOKED_AT = 100
_UTF8_MARK = b"\xef\xbb\xbf"
_NO_CHARACTER = "\ufffd".encode()
#: What application/json-seq begins its lines with (RFC 7464).
_RECORD_SEPARATOR = b"\x1e"

#: What is read of a stream: its line, and the recipient of it, what is wrong with it, or None where there is nothing.
#: Empty lines are reported too, so that whoever reads can count what it costs.
Row = tuple[int, Recipient | Fault | None]


class Lines:
    """Bytes in, whole lines of UTF-8 out, numbered from 1. They end in LF, CRLF or CR, each as it likes. A line that is
    too long is a Fault."""

    def __init__(self, charset: str = "utf-8") -> None:
        self.encoding = Encoding(charset)
        self._rest = b""
        self._number = 0
        #: The last byte was a CR: a LF that follows belongs to it.
        self._after_cr = False

    def feed(self, received: bytes, *, last: bool = False) -> Iterator[tuple[int, bytes | Fault]]:
        *lines, self._rest = (self._rest + self._with_lf(self.encoding.feed(received, last=last))).split(b"\n")
        if last and self._rest:
            lines.append(self._rest)
            self._rest = b""
        for line in lines:
            self._number += 1
            if len(line) > MAX_LINE_BYTES:
                yield self._number, Fault(f"line {self._number}", f"longer than {MAX_LINE_BYTES} bytes")
            elif self.encoding.is_converted and _NO_CHARACTER in line:
                what = f"has bytes that are no character of {self.encoding.name}"
                yield self._number, Fault(f"line {self._number}", what)
            else:
                yield self._number, line.removeprefix(_UTF8_MARK)  # files are put together, each with its own
        if len(self._rest) > MAX_LINE_BYTES:
            # Keep only that it is too long: what follows up to the line's end belongs to it.
            self._rest = self._rest[: MAX_LINE_BYTES + 1]

    def _with_lf(self, received: bytes) -> bytes:
        if not received:
            return b""
        if self._after_cr and received.startswith(b"\n"):
            received = received[1:]
        self._after_cr = received.endswith(b"\r") if received else False
        return received.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in received else received


class JsonRows:
    """application/x-ndjson: a recipient a line, as in the body of a job."""

    #: Nothing that follows can be taken.
    is_over = False

    @property
    def warnings(self) -> list[Fault]:
        return []

    def __init__(self, charset: str = "utf-8") -> None:
        self._lines = Lines(charset)

    def feed(self, received: bytes, *, last: bool = False) -> Iterator[Row]:
        for number, line in self._lines.feed(received, last=last):
            if isinstance(line, Fault):
                yield number, line
            else:
                line = line.lstrip(_RECORD_SEPARATOR)
                yield number, read_recipient(line, f"line {number}") if line.strip() else None


class _NoRow(ValueError):
    """What the line cannot be a row for."""


class _Fields:
    """The fields of one row, line by line (RFC 4180): a quote opens a field at its beginning and nowhere else, and in a
    field that is open two of them stand for one."""

    def __init__(self, delimiter: str) -> None:
        self.found: list[str] = []
        self._delimiter = delimiter
        #: What there is of a quoted field that is open.
        self._open: list[str] | None = None

    def add(self, line: str) -> bool:
        """Whether the row is complete. _NoRow."""
        at = 0 if self._open is None else self._quoted(line, 0)
        while 0 <= at <= len(line):
            if len(self.found) >= MAX_COLUMNS:
                raise _NoRow(f"more than {MAX_COLUMNS} fields")
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


class CsvRows:
    """text/csv (RFC 4180) with a heading: `email`, and optionally `name`, `kind`, `optin`, `tracking_consent`, as
    people spell them (`headings.py`); `metadata.x` is metadata, any other column a variable. Between the fields stands
    `delimiter`, or what a line `sep=` before the heading says, or what makes a heading of it.

    A quoted field that has no end takes its own row with it and no other: those that it seemed to hold are read again,
    one by one. So are those in a field whose end was that of another."""

    def __init__(self, charset: str = "utf-8", delimiter: str = "") -> None:
        self._lines = Lines(charset)
        #: Lines of a row that is open, with their numbers, and how many characters they have.
        self._held: list[tuple[int, str]] = []
        self._held_chars = 0
        self._fields: _Fields | None = None
        self._columns: headings.Columns | None = None
        self._delimiter = delimiter
        #: The heading is invalid: nothing that follows can be taken.
        self.is_over = False
        #: What was taken though it is of no use.
        self.warnings: list[Fault] = []

    def feed(self, received: bytes, *, last: bool = False) -> Iterator[Row]:
        for number, line in self._lines.feed(received, last=last):
            if self.is_over:
                return
            yield from self._line(number, line)
        if last and self._held:
            yield from self._again("a quoted field has no end", last=True)

    def _line(self, number: int, line: bytes | Fault) -> Iterator[Row]:
        text = line if isinstance(line, Fault) else self._decoded(number, line)
        if isinstance(text, Fault):
            if self._held:
                yield from self._again("a quoted field has no end", last=True)
            self.is_over = self._columns is None
            yield number, text
            return
        self._held.append((number, text))
        self._held_chars += len(text) + 1
        if self._held_chars > MAX_LINE_BYTES + 1:
            yield from self._again("a quoted field has no end")
        else:
            yield from self._added(number, text)

    def _decoded(self, number: int, line: bytes) -> str | Fault:
        try:
            return line.decode()
        except UnicodeDecodeError as error:
            what = f"not UTF-8: byte 0x{line[error.start]:02X} at {error.start}"
            hint = "; if it is written in another encoding, say so: Content-Type: text/csv; charset=windows-1252"
            return Fault(f"line {number}", what + (hint if self._columns is None else ""))

    def _added(self, number: int, text: str) -> Iterator[Row]:
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
        row = self._recipient(first, self._fields.found)
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
        if self._columns is None and (found := headings.separator(text)) is not None:
            self._delimiter = found
            return False
        if not self._delimiter:
            self._delimiter = _delimiter_of(text)
        self._fields = _Fields(self._delimiter)
        return True

    def _again(self, what: str, *, last: bool = False) -> Iterator[Row]:
        """The row that is open is none: each of its lines but the first stands for itself. The last one may open a row
        that goes on, unless nothing more comes."""
        (first, _), *others = self._held
        self._forget()
        self.is_over = self._columns is None
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

    def _has_swallowed(self, row: Recipient | Fault | None, others: Sequence[tuple[int, str]]) -> bool:
        if self._columns is None:
            return False
        looked_at = others[:_LINES_LOOKED_AT]
        rows = sum(_looks_like_row(text, self._delimiter, self._columns) for _, text in looked_at)
        return 2 * rows >= len(looked_at) and rows >= (1 if isinstance(row, Fault) else _SWALLOWED)

    def _recipient(self, number: int, row: list[str]) -> Recipient | Fault | None:
        if self._columns is not None:
            return _recipient_of(row, self._columns, f"line {number}")
        try:
            self._columns = headings.read(row)
        except headings.NoHeading as fault:
            self.is_over = True
            return Fault(f"line {number}", str(fault))
        self.warnings = [Fault(f"line {number}", what) for what in self._columns.unused]
        return None


def _delimiter_of(heading: str) -> str:
    """The one that makes a heading with an address of it, and most columns."""

    def columns(delimiter: str) -> tuple[bool, int]:
        fields = _Fields(delimiter)
        try:
            fields.add(heading)
        except _NoRow:
            return False, 0
        return headings.has_address(fields.found), len(fields.found)

    return max(headings.DELIMITERS, key=columns)


def _looks_like_row(line: str, delimiter: str, columns: headings.Columns) -> bool:
    cells = line.split(delimiter, MAX_COLUMNS)
    if len(cells) < columns.count:
        return False
    try:
        addresses.parse(cells[columns.own["email"]].strip(addresses.AROUND + '"'))
    except addresses.InvalidAddress:
        return False
    return True


def _recipient_of(row: list[str], columns: headings.Columns, at: str) -> Recipient | Fault | None:
    """The recipient that a row describes, None if all its cells are empty; an empty cell is as if the column were not
    there. Spreadsheets write empty cells behind the last column."""
    if not any(map(_is_seen, row)):
        return None
    if len(row) < columns.count or any(map(_is_seen, row[columns.count :])):
        return Fault(at, f"{len(row)} fields, but the heading has {columns.count}: {headings.shown(row)}")
    if columns.count == 1 and '"' not in row[0] and any(sign in row[0] for sign in headings.BETWEEN):
        return Fault(at, f"more than one field, but the heading has 1: {headings.shown(row[:1])}")
    own = {name: row[index].strip(addresses.AROUND) for name, index in columns.own.items()}
    flags: dict[str, bool] = {}
    for name in ("optin", "tracking_consent"):
        word = own.get(name, "").casefold()
        if word in _FLAGS:
            flags[name] = _FLAGS[word]
        elif word:
            return Fault(f"{at}.{name}", f"neither yes nor no: {own[name][:_MAX_CELL_SHOWN]!r}")
    kind = own.get("kind", "").casefold() or None
    if kind not in (None, *_KINDS):
        return Fault(f"{at}.kind", f"neither person nor professional: {own['kind'][:_MAX_CELL_SHOWN]!r}")
    given = {
        "email": own["email"],
        "name": own.get("name", ""),
        "variables": {name: row[index] for name, index in columns.variables.items()},
        "metadata": {name: row[index] for name, index in columns.metadata.items()} or None,
        "kind": kind,
        "optin": flags.get("optin"),
        "tracking_consent": flags.get("tracking_consent"),
    }
    # As JSON is: what is too long there is too long here.
    return fit_recipient(given, at)


def _is_seen(cell: str) -> bool:
    return bool(cell.strip(addresses.AROUND))
