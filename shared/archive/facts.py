"""A row of the archive becomes the fact again that it was made of.

What a file does not have is as an older writer left it: a column that came later, or what went with somebody who was
erased, has the value that the field has where nothing is said.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from shared.archive.columns import DETAILS_OF
from shared.words import events, public

#: By the name of a fact: each detail, and its value where the row has none.
_ABSENT: dict[str, dict[str, Any]] = {
    name: {field.name: field.default for field in msgspec.structs.fields(events.FACTS[name]) if field.name in details}
    for name, details in DETAILS_OF.items()
}


def fact_of(row: Mapping[str, Any], tenant: str) -> events.Fact:
    """Times are ms, the type one of `public.TYPES`."""
    name = public.TYPES[row["type"]]
    details = {
        detail: absent if (value := row.get(detail)) is None else value for detail, absent in _ABSENT[name].items()
    }
    return events.FACTS[name](
        event_id=row["event_id"],
        occurred_at=row["occurred_at"],
        tenant=tenant,
        job=row["job"] or "",
        ordinal=row["ordinal"],
        sequence=row["sequence"],
        email=row["email"],
        **details,
    )
