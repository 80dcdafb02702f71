"""A row of the outbox as the fact that it tells. Pure."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from shared.words import events

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Row(NamedTuple):
    """As `migrations/0008_outbox.sql` has it."""

    said: int
    at: datetime
    fact: str
    contact: int | None
    email: str | None
    details: Mapping[str, Any]


#: What can be told here: a row of a newer program waits for one.
KNOWN = ("ContactAdded", "ContactUpdated", "ContactAtRisk", "ActivityRanked")


def fact_of(tenant: str, row: Row) -> events.Fact:
    """The same for the same row. Its number alone would not do for an id: where an older copy of the database was put
    back, numbers are given again."""
    at_us = (row.at - _EPOCH) // timedelta(microseconds=1)
    about = events.about(tenant, at_us // 1000, "contacts", tenant, row.fact, row.said, at_us, email=row.email)
    # A newer program may have said more than is known here.
    fields = events.FACTS[row.fact].__struct_fields__
    details = {name: value for name, value in row.details.items() if name in fields}
    match row.fact:
        case "ContactAdded":
            return events.ContactAdded(**about, contact=row.contact or 0, **details)
        case "ContactUpdated":
            return events.ContactUpdated(**about, contact=row.contact or 0, **details)
        case "ContactAtRisk":
            return events.ContactAtRisk(**about, contact=row.contact or 0, **details)
        case "ActivityRanked":
            return events.ActivityRanked(**about, **details)
    raise ValueError(f"{row.fact!r:.40} is not among {KNOWN}")
