"""What a job's report says of the contacts that it is sent to."""

from typing import Annotated

import msgspec

from shared.redis.targets import Meant
from shared.words.described import says

#: What is said where a job takes nobody, in words.
DETAIL = says("That in words, where more is to be said.", None, "$.of[0].field: no such field")
AWAITED = says(
    "What a job that is `selecting` waits for: `contacts`, whose service does not answer, or their `database`.",
    None,
    "database",
)


class JobContacts(msgspec.Struct, frozen=True, kw_only=True):
    """Contacts as recipients of a job: those who belonged when sending started. All of them are selected; who is not
    addressable is excluded with the reason."""

    segment: Annotated[int | None, says("The segment; null of criteria that nobody saved.", 3)]
    name: Annotated[str | None, says("What it was called then.", "Paris")]
    version: Annotated[int | None, says("Its version that was in force then.", 2)]
    selected: Annotated[int, says("How many belonged.", 12_480)]


def contacts(told: bytes) -> JobContacts | None:
    """Of a job's field; None where nothing is told."""
    if not told:
        return None
    meant = msgspec.json.decode(told, type=Meant)
    return JobContacts(segment=meant.segment, name=meant.name or None, version=meant.version, selected=meant.selected)
