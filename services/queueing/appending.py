"""Recipients that come as a stream: lines of JSON or rows of CSV, in any number, cut anywhere. Pure.

A line that cannot be read is told with its number and changes nothing else, so a list of a million with three bad lines
is taken but for the three.
"""

import csv
from collections.abc import Iterator

from services.queueing.jobs import Recipient, read_recipient
from shared.errors import Fault

#: One recipient with his variables; what is longer is no line.
MAX_LINE_BYTES = 65_536
#: Columns of CSV that are not variables.
OWN_COLUMNS = ("email", "name", "kind", "optin", "tracking_consent")
METADATA_PREFIX = "metadata."
_TRUE = frozenset({"1", "true", "yes", "oui"})
_FALSE = frozenset({"0", "false", "no", "non"})


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

    def __init__(self) -> None:
        self._lines = Lines()

    def feed(self, received: bytes, *, last: bool = False) -> Iterator[tuple[int, Recipient | Fault]]:
        for number, line in self._lines.feed(received, last=last):
            if isinstance(line, Fault):
                yield number, line
            elif line.strip():
                yield number, read_recipient(line, f"line {number}")


class CsvRows:
    """text/csv (RFC 4180) in UTF-8, with a heading: `email`, and optionally `name`, `kind`, `optin`,
    `tracking_consent`; `metadata.x` is metadata, any other column a variable. Comma or semicolon, whichever the heading
    has."""

    def __init__(self) -> None:
        self._lines = Lines()
        self._open = ""
        self._open_number = 0
        self._columns: list[str] = []
        self._delimiter = ","

    def feed(self, received: bytes, *, last: bool = False) -> Iterator[tuple[int, Recipient | Fault]]:
        for number, line in self._lines.feed(received, last=last):
            if isinstance(line, Fault):
                yield number, line
                continue
            row = self._row(number, line)
            if isinstance(row, Fault):
                yield number, row
            elif row:
                yield from self._recipient(self._open_number, row)
        if last and self._open:
            yield self._open_number, Fault(f"line {self._open_number}", "a quoted field has no end")

    def _row(self, number: int, line: bytes) -> list[str] | Fault:
        """A whole row; empty while a quoted field goes on in the next line."""
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            return Fault(f"line {number}", f"not UTF-8: {error.reason}")
        if not self._open:
            self._open_number = number
        whole = f"{self._open}\n{text}" if self._open else text
        if len(whole) > MAX_LINE_BYTES:
            self._open = ""
            return _too_long(self._open_number)
        if whole.count('"') % 2:
            self._open = whole
            return []
        self._open = ""
        if not self._columns:
            self._delimiter = ";" if whole.count(";") > whole.count(",") else ","
        try:
            return next(csv.reader([whole], delimiter=self._delimiter), []) if whole.strip() else []
        except csv.Error as error:
            return Fault(f"line {self._open_number}", f"not a row of CSV: {error}")

    def _recipient(self, number: int, row: list[str]) -> Iterator[tuple[int, Recipient | Fault]]:
        if not self._columns:
            self._columns = [name.strip() for name in row]
            if "email" not in self._columns:
                yield number, Fault(f"line {number}", "the heading has no column 'email'")
            elif len(set(self._columns)) < len(self._columns):
                yield number, Fault(f"line {number}", "the heading has a column twice")
                self._columns = [""]
        elif "email" not in self._columns:
            return
        elif len(row) != len(self._columns):
            yield number, Fault(f"line {number}", f"{len(row)} fields, but the heading has {len(self._columns)}")
        else:
            yield number, recipient_of_row(dict(zip(self._columns, row, strict=True)), f"line {number}")


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
    return Recipient(
        email=row["email"].strip(),
        name=row.get("name", "").strip(),
        variables={
            name: value
            for name, value in row.items()
            if name not in OWN_COLUMNS and not name.startswith(METADATA_PREFIX)
        },
        metadata=metadata or None,
        kind="professional" if kind == "professional" else "person",
        optin=flags.get("optin"),
        tracking_consent=flags.get("tracking_consent", True),
    )
