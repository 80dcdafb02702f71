"""A job whose first mails cannot be made is stopped, whatever its stream: its template or its data are not what was
meant, and what is not sent yet can still be sent as it was meant.

Judged are the first hundred messages of a job that had an outcome: those that came as far as a host had been made. A
message counts once. Its tenant resumes the job alone, for nobody was harmed; it is counted anew from then on.
"""

from collections.abc import Mapping, Sequence

import msgspec

from shared.words import events

#: Messages of a job that are judged.
FIRST = 100
#: So many of them fail before a job is stopped, and more than half: one bad row stops nobody.
LEAST = 10
#: Facts that record an outcome.
NAMES = frozenset(("Delivered", "Bounced", "Deferred", "Failed"))


class Rendered(msgspec.Struct, frozen=True, gc=False):
    """Whether the mail of a message could be made."""

    tenant: str
    job: str
    ordinal: int
    failed: bool


class Renderings(msgspec.Struct, frozen=True):
    """`failed` of `of` messages."""

    failed: int
    of: int

    @property
    def stops(self) -> bool:
        return self.failed >= LEAST and 2 * self.failed > self.of


def rendered(fact: events.Message) -> Rendered | None:
    """What a fact says of its message's rendering; None if nothing."""
    match fact:
        case events.Failed(reason=reason) if reason in events.UNMADE_REASONS:
            failed = True
        case events.Delivered():
            failed = False
        case events.Deferred(host=host) | events.Bounced(host=host, late=False) if host:
            failed = False
        case _:
            return None
    if not fact.job or fact.ordinal is None:
        return None
    return Rendered(fact.tenant, fact.job, fact.ordinal, failed)


def failing(batch: Sequence[Rendered], counted: Mapping[str, Renderings]) -> dict[str, str]:
    """Jobs that are to be stopped, with their tenants: those with a failure in the batch."""
    return {one.job: one.tenant for one in batch if one.failed and one.job in counted and counted[one.job].stops}
