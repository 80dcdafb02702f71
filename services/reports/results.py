"""Members of a result set as they are written: a line of JSON each, or a row of CSV. Pure."""

from collections.abc import Callable, Iterable
from typing import Annotated, Literal

import msgspec

from shared.redis.result_sets import Member
from shared.tabular.cells import quoted
from shared.words import ids, standing
from shared.words.described import says

Format = Literal["ndjson", "csv"]
MEDIA: dict[Format, str] = {"ndjson": "application/x-ndjson", "csv": "text/csv"}
HEADING = ("id", "email", "state", "reason", "opened", "clicked", "metadata")
_encoder = msgspec.json.Encoder()


class Result(msgspec.Struct, frozen=True):
    """One line: a message, and what became of it."""

    id: Annotated[str, says("The id of the message.", "068vjfm5s9m2rc1jqqrg.0")]
    email: Annotated[str, says("The recipient's address; empty once they were erased.", "ana@exemple.fr")]
    state: Annotated[str, says("Where the message stands.", "delivered")]
    reason: Annotated[str | None, says("Why it was left out, if it was.", "unsubscribed")]
    opened: Annotated[bool, says("Whether a person opened it.", True)]
    clicked: Annotated[bool, says("Whether a person clicked in it.", False)]
    metadata: Annotated[dict[str, str], says("What is kept with the message.", {"crm_id": "17"})]


def result(member: Member) -> Result:
    return Result(
        ids.message_id(member.job, member.ordinal),
        member.recipient.email,
        standing.word(member.state),
        member.reason or None,
        member.opened,
        member.clicked,
        member.recipient.metadata or {},
    )


def lines(members: Iterable[Member]) -> bytes:
    """As JSON, a line each."""
    return _encoder.encode_lines(map(result, members))


def rows(members: Iterable[Member]) -> bytes:
    """As CSV (RFC 4180), without its heading; cells are safe in a spreadsheet."""
    return "".join(_row(_cells(result(member))) for member in members).encode("utf-8", "surrogatepass")


def _cells(one: Result) -> tuple[str, ...]:
    metadata = _encoder.encode(one.metadata).decode() if one.metadata else ""
    flags = ("true" if flag else "false" for flag in (one.opened, one.clicked))
    return one.id, one.email, one.state, one.reason or "", *flags, metadata


def _row(cells: Iterable[str]) -> str:
    return ",".join(quoted(cell, ",") for cell in cells) + "\r\n"


#: By format what stands first, and how some members are written.
WRITTEN: dict[Format, tuple[bytes, Callable[[Iterable[Member]], bytes]]] = {
    "ndjson": (b"", lines),
    "csv": (_row(HEADING).encode(), rows),
}
