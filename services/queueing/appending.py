"""Recipients that come as a stream: lines of JSON or rows of CSV, in any number, cut anywhere. Pure.

A line that cannot be read is told with its number and changes nothing else, so a list of a million with three bad lines
is taken but for the three. A row costs its length: each byte is looked at once, or twice where a quote had no end.
"""

from collections.abc import Iterator

from services.queueing.jobs import (
    MAX_METADATA,
    MAX_RECIPIENT_BYTES,
    MAX_VARIABLES,
    Recipient,
    fit_recipient,
    read_recipient,
)
from shared.errors import Fault

#: One recipient with his variables; what is longer is no line.
MAX_LINE_BYTES = MAX_RECIPIENT_BYTES
#: Columns of CSV that are not variables.
OWN_COLUMNS = ("email", "name", "kind", "optin", "tracking_consent")
#: Columns of a heading: as much as a recipient may have by any other door.
MAX_COLUMNS = len(OWN_COLUMNS) + MAX_METADATA + MAX_VARIABLES
METADATA_PREFIX = "metadata."
_TRUE = frozenset({"1", "true", "yes", "oui"})
_FALSE = frozenset({"0", "false", "no", "non"})

#: What is read of a stream: its line, and the recipient of it, what is wrong with it, or None where there is nothing.
#: Empty lines are told too, so that whoever reads can count what it costs.
Row = tuple[int, Recipient | Fault | None]


class Lines:
    """Bytes in, whole lines out, numbered from 1. A line that is too long is a Fault."""

    def __init__(self) -> None:
        self._rest = b""
        self._number = 0

    def feed(self, received: bytes, *, last: bool = False) -> Iterator[tuple[int, bytes | Fault]]:
        *lines, self._rest = (self._rest + received).split(b"\n")
        if last and self._rest:
            lines.append(self._rest)
            self._rest = b""
        for line in lines:
            self._number += 1
            if len(line) > MAX_LINE_BYTES:
                yield self._number, _too_long(self._number)
            else:
                yield self._number, line.rstrip(b"\r")
        if len(self._rest) > MAX_LINE_BYTES:
            # Keep only that it is too long: what follows up to the line's end belongs to it.
            self._rest = self._rest[: MAX_LINE_BYTES + 1]


def _too_long(number: int) -> Fault:
    return Fault(f"line {number}", f"longer than {MAX_LINE_BYTES} bytes")


class JsonRows:
    """application/x-ndjson: a recipient a line, as in the body of a job."""

    #: Nothing that follows can be taken.
    is_over = False

    def __init__(self) -> None:
        self._lines = Lines()

    def feed(self, received: bytes, *, last: bool = False) -> Iterator[Row]:
        for number, line in self._lines.feed(received, last=last):
            if isinstance(line, Fault):
                yield number, line
            else:
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
    """text/csv (RFC 4180) in UTF-8, with a heading: `email`, and optionally `name`, `kind`, `optin`,
    `tracking_consent`; `metadata.x` is metadata, any other column a variable. Comma or semicolon, whichever the heading
    has.

    A quoted field that has no end within the length of a line takes its own row with it and no other: those that it
    seemed to hold are read again, one by one."""

    def __init__(self) -> None:
        self._lines = Lines()
        #: Lines of a row that is open, with their numbers, and how many characters they have.
        self._held: list[tuple[int, str]] = []
        self._held_chars = 0
        self._fields: _Fields | None = None
        self._columns: list[str] = []
        self._delimiter = ","
        #: The heading is none: nothing that follows can be taken.
        self.is_over = False

    def feed(self, received: bytes, *, last: bool = False) -> Iterator[Row]:
        for number, line in self._lines.feed(received, last=last):
            if self.is_over:
                return
            yield from self._line(number, line)
        if last and self._held:
            yield from self._without_end()

    def _line(self, number: int, line: bytes | Fault) -> Iterator[Row]:
        text = line if isinstance(line, Fault) else _decoded(number, line)
        if isinstance(text, Fault):
            if self._held:
                yield from self._without_end()
            self.is_over = not self._columns
            yield number, text
            return
        self._held.append((number, text))
        self._held_chars += len(text) + 1
        if self._held_chars > MAX_LINE_BYTES + 1:
            yield from self._without_end()
        else:
            yield self._added(number, text)

    def _added(self, number: int, text: str) -> Row:
        if self._fields is None:
            if not text.strip():
                self._forget()
                return number, None
            if not self._columns:
                self._delimiter = ";" if text.count(";") > text.count(",") else ","
            self._fields = _Fields(self._delimiter)
        try:
            if not self._fields.add(text):
                return number, None
        except _NoRow as fault:
            first = self._held[0][0]
            self._forget()
            self.is_over = not self._columns
            return first, Fault(f"line {first}", str(fault))
        first, row = self._held[0][0], self._fields.found
        self._forget()
        return first, self._recipient(first, row)

    def _without_end(self) -> Iterator[Row]:
        """The row that is open has no end: each of its lines but the first stands for itself."""
        (first, _), *others = self._held
        self._forget()
        self.is_over = not self._columns
        yield first, Fault(f"line {first}", "a quoted field has no end")
        for number, text in others:
            if self.is_over:
                return
            self._held.append((number, text))
            yield self._added(number, text)
            if self._held:
                self._forget()
                yield number, Fault(f"line {number}", "a quoted field has no end")

    def _forget(self) -> None:
        self._held, self._held_chars, self._fields = [], 0, None

    def _recipient(self, number: int, row: list[str]) -> Recipient | Fault | None:
        if self._columns:
            if len(row) != len(self._columns):
                return Fault(f"line {number}", f"{len(row)} fields, but the heading has {len(self._columns)}")
            return recipient_of_row(dict(zip(self._columns, row, strict=True)), f"line {number}")
        columns = [name.strip() for name in row]
        fault = _heading_fault(columns)
        if fault:
            self.is_over = True
            return Fault(f"line {number}", fault)
        self._columns = columns
        return None


def _decoded(number: int, line: bytes) -> str | Fault:
    try:
        return line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        return Fault(f"line {number}", f"not UTF-8: {error.reason}")


def _heading_fault(columns: list[str]) -> str:
    if "email" not in columns:
        return "the heading has no column 'email'"
    if len(set(columns)) < len(columns):
        return "the heading has a column twice"
    return ""


def recipient_of_row(row: dict[str, str], at: str) -> Recipient | Fault:
    """The recipient that a row of CSV describes; an empty cell is as if the column were not there."""
    flags: dict[str, bool] = {}
    for name in ("optin", "tracking_consent"):
        text = row.get(name, "").strip().lower()
        if text in _TRUE | _FALSE:
            flags[name] = text in _TRUE
        elif text:
            return Fault(f"{at}.{name}", "neither yes nor no")
    kind = row.get("kind", "").strip() or "person"
    if kind not in ("person", "professional"):
        return Fault(f"{at}.kind", "neither person nor professional")
    metadata = {
        name.removeprefix(METADATA_PREFIX): value for name, value in row.items() if name.startswith(METADATA_PREFIX)
    }
    variables = {
        name: value for name, value in row.items() if name not in OWN_COLUMNS and not name.startswith(METADATA_PREFIX)
    }
    given = {
        "email": row["email"].strip(),
        "name": row.get("name", "").strip(),
        "variables": variables,
        "metadata": metadata or None,
        "kind": kind,
        "optin": flags.get("optin"),
        "tracking_consent": flags.get("tracking_consent", True),
    }
    # As JSON is: what is too long there is too long here.
    return fit_recipient(given, at)
