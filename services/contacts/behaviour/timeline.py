"""What happened to one contact, and what they did, the latest first."""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from services.contacts.base.database import Sql

#: Kinds of `behaviours`, as people are told.
WORDS = {
    4: "delivered", 5: "opened", 6: "clicked", 9: "bounced", 10: "unsubscribed", 11: "complained", 20: "page_seen",
    21: "event", 22: "answered_survey", 23: "sent_form", 24: "sms_sent", 25: "sms_clicked",
}  # fmt: skip
_START = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

_PAGE = """
SELECT b.occurred_at, b.event, b.kind, b.machine, b.position, n.text, o.key, o.name, o.kind AS of_kind
FROM (
    SELECT occurred_at, event, kind, machine, operation, name, position FROM behaviours
    WHERE tenant = $1 AND contact = $2 AND (occurred_at, event) < ($3, $4)
    ORDER BY occurred_at DESC, event DESC LIMIT $5
) AS b
LEFT JOIN operations AS o ON o.tenant = $1 AND o.operation = b.operation
LEFT JOIN names AS n ON n.tenant = $1 AND n.name = b.name
ORDER BY b.occurred_at DESC, b.event DESC"""


class Place(NamedTuple):
    """Where a page ended: microseconds since the epoch, and the event."""

    us: int
    event: int

    @property
    def at(self) -> datetime:
        """OverflowError: no calendar has that time."""
        return _START + timedelta(microseconds=self.us)


#: Before which everything is.
LATEST = Place((datetime(9999, 1, 1, tzinfo=UTC) - _START) // _MICROSECOND, 2**63 - 1)


class Operation(NamedTuple):
    """The key by which criteria name it, what people call it, and its kind."""

    key: str
    name: str
    kind: str


class Moment(NamedTuple):
    """Something that happened. `word` is one of `WORDS`; `text` is the URL, the page, the name of the event, or the
    kind of a bounce."""

    at: datetime
    event: int
    word: str
    machine: bool
    operation: Operation | None
    text: str | None
    position: int | None

    @property
    def place(self) -> Place:
        return Place((self.at - _START) // _MICROSECOND, self.event)


async def page(sql: Sql, of: int, contact: int, before: Place, most: int) -> list[Moment]:
    """Of the contact with that number."""
    return [
        Moment(
            row["occurred_at"],
            row["event"],
            WORDS.get(row["kind"], str(row["kind"])),
            row["machine"],
            None if row["key"] is None else Operation(row["key"], row["name"], row["of_kind"]),
            row["text"],
            row["position"] if row["position"] >= 0 else None,
        )
        for row in await sql.fetch(_PAGE, of, contact, before.at, before.event, most)
    ]
