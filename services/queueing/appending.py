"""Recipients that come as a stream: lines of JSON or rows of CSV, in any number, cut anywhere. Pure.

A line that cannot be read is named by its number and changes nothing else, so a list of a million with three bad lines
is taken but for the three. How rows are cut is an agreement (`shared.tabular`).
"""

from collections.abc import Iterator, Sequence

from services.queueing import headings
from services.queueing.recipients import (
    MAX_METADATA,
    MAX_RECIPIENT_BYTES,
    MAX_ROW_BYTES,
    MAX_VARIABLES,
    Recipient,
    fit_recipient,
    read_recipient,
)
from shared.mail import addresses
from shared.tabular.flags import FLAGS
from shared.tabular.headings import has_address
from shared.tabular.lines import Lines
from shared.tabular.rows import Rows
from shared.words.errors import Fault

#: One recipient with their variables, as JSON with their files; what is longer is not a line.
MAX_LINE_BYTES = MAX_RECIPIENT_BYTES
MAX_JSON_LINE_BYTES = MAX_ROW_BYTES
#: Columns of a heading: as much as a recipient may have by any other door.
MAX_COLUMNS = len(headings.ALIASES) + MAX_METADATA + MAX_VARIABLES
_KINDS = ("person", "professional")
#: Shown of a cell that is wrong.
_MAX_CELL_SHOWN = 40
#: What application/json-seq begins its lines with (RFC 7464).
_RECORD_SEPARATOR = b"\x1e"

#: What is read of a stream: its line, and the recipient of it, what is wrong with it, or None where there is nothing.
#: Empty lines are reported too, so that whoever reads can count what it costs.
Row = tuple[int, Recipient | Fault | None]


class JsonRows:
    """application/x-ndjson: a recipient a line, as in the body of a job."""

    #: Nothing that follows can be taken.
    is_over = False

    @property
    def warnings(self) -> list[Fault]:
        return []

    def __init__(self, charset: str = "utf-8") -> None:
        self._lines = Lines(charset, MAX_JSON_LINE_BYTES)

    def feed(self, received: bytes, *, last: bool = False) -> Iterator[Row]:
        for number, line in self._lines.feed(received, last=last):
            if isinstance(line, Fault):
                yield number, line
            else:
                line = line.lstrip(_RECORD_SEPARATOR)
                yield number, read_recipient(line, f"line {number}") if line.strip() else None


class CsvRows(Rows[Recipient]):
    """text/csv (RFC 4180) with a heading: `email`, and optionally `name`, `kind`, `optin`, `tracking_consent`, as
    people spell them (`headings.py`), and `recipient_key`, which is `key` elsewhere: a list may have a column of that
    name for its templates. `metadata.x` is metadata, any other column a variable."""

    def __init__(self, charset: str = "utf-8", delimiter: str = "") -> None:
        super().__init__(_SHAPE, charset, delimiter)


class _Shape:
    """A list of recipients."""

    max_line_bytes = MAX_LINE_BYTES
    max_columns = MAX_COLUMNS

    def has_address(self, fields: Sequence[str]) -> bool:
        return has_address(fields)

    def read(self, fields: Sequence[str]) -> "_Recipients":
        return _Recipients(headings.read(fields))


class _Recipients:
    """Each row is a recipient; an empty cell is as if the column were not there."""

    is_headless = False

    def __init__(self, columns: headings.Columns) -> None:
        self._columns = columns
        self.count = columns.count
        self.address = columns.own["email"]
        self.warnings = columns.unused

    def row(self, cells: list[str], at: str) -> Recipient | Fault | None:
        own = {name: cells[index].strip(addresses.AROUND) for name, index in self._columns.own.items()}
        flags: dict[str, bool] = {}
        for name in ("optin", "tracking_consent"):
            word = own.get(name, "").casefold()
            if word in FLAGS:
                flags[name] = FLAGS[word]
            elif word:
                return Fault(f"{at}.{name}", f"neither yes nor no: {own[name][:_MAX_CELL_SHOWN]!r}")
        kind = own.get("kind", "").casefold() or None
        if kind not in (None, *_KINDS):
            return Fault(f"{at}.kind", f"neither person nor professional: {own['kind'][:_MAX_CELL_SHOWN]!r}")
        given = {
            "email": own["email"],
            "name": own.get("name", ""),
            "variables": {name: cells[index] for name, index in self._columns.variables.items()},
            "metadata": {name: cells[index] for name, index in self._columns.metadata.items()} or None,
            "key": own.get("recipient_key") or None,
            "kind": kind,
            "optin": flags.get("optin"),
            "tracking_consent": flags.get("tracking_consent"),
        }
        # As JSON is: what is too long there is too long here.
        return fit_recipient(given, at)


_SHAPE = _Shape()
