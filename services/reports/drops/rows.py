"""Events as rows of CSV: UTF-8, CRLF (RFC 4180), in cells that are no formulas to a spreadsheet. Pure."""

from collections.abc import Sequence

from shared.archive.columns import DETAILS
from shared.tabular.cells import quoted
from shared.words.public import Event

#: What every event has.
COMMON = ("event_id", "type", "time", "job", "message", "email")
#: Every column that may be chosen: each detail of an event has one of its name, as in the archive.
COLUMNS = (*COMMON, *DETAILS)
#: Those of a drop that chooses none.
USUAL = (
    *COMMON, "reason", "kind", "reply", "site", "host", "url", "position", "machine", "user_agent", "list", "channel",
    "scope", "by", "source",
)  # fmt: skip


class Writer:
    """`columns` of `COLUMNS`, in the order in which they are wanted; none: the usual ones."""

    def __init__(self, columns: Sequence[str] = ()) -> None:
        self._columns = tuple(columns) or USUAL

    def heading(self) -> bytes:
        """The first line."""
        return (",".join(self._columns) + "\r\n").encode()

    def rows(self, events: Sequence[Event]) -> bytes:
        """A line each."""
        return "".join(map(self._row, events)).encode("utf-8", "replace")

    def _row(self, event: Event) -> str:
        details = event.details
        return (
            ",".join(_cell(getattr(event, name) if name in COMMON else details.get(name)) for name in self._columns)
            + "\r\n"
        )


def _cell(value: str | int | bool | None) -> str:
    """Numbers are none but numbers, whatever they begin with."""
    if value is None or value == "":
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return quoted(value, ",") if isinstance(value, str) else str(value)
