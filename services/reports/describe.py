"""One message as its report shows it: its state, and the timeline of what happened to it."""

from typing import Annotated

import msgspec

from services.reports import state
from services.reports.timeline import Record
from shared.words import events
from shared.words.described import says
from shared.words.public import Details, details, type_of
from shared.words.times import rfc3339


class TimelineEvent(msgspec.Struct, frozen=True, kw_only=True):
    """`event_id` is null, and of the details only what the type implies is left, when the event itself is retained no
    more."""

    event_id: Annotated[str | None, says("The id of the event; null if it is retained no more.", "9f86d081884c7d65")]
    type: Annotated[str, says("What happened: a type of event.", "message.deferred")]
    time: Annotated[str, says("When it happened.", "2026-01-31T09:05:00.123Z")]
    details: Annotated[
        Details, says("What an event of this type has besides, as far as it is retained.", {"attempt": 1})
    ]


class MessageReport(msgspec.Struct, frozen=True, kw_only=True):
    """`state` is `waiting`, `accepted`, `deferred`, or the end: `delivered`, `bounced`, `expired`, `failed`,
    `suppressed`, `rejected`, `cancelled`."""

    id: Annotated[str, says("The id of the message.", "068vjfm5s9m2rc1jqqrg.0")]
    job: Annotated[str, says("The id of its job.", "068vjfm5s9m2rc1jqqrg")]
    email: Annotated[str, says("The recipient's address.", "ana@exemple.fr")]
    metadata: Annotated[dict[str, str], says("What the job said to keep with the recipient.", {"crm_id": "17"})]
    state: Annotated[str, says("How far it is, or its end.", "deferred")]
    timeline: Annotated[list[TimelineEvent], says("What happened to it, in the order of time.")]


def is_known(record: Record) -> bool:
    """Not if a newer program counted it, of a kind that is told once this one is of that version, too."""
    return record.code in state.FACT_NAMES


def timeline_event(record: Record, fact: events.Fact | None) -> TimelineEvent:
    """One line of a message's timeline; `fact` is None when it is retained no more."""
    if fact is not None:
        return TimelineEvent(
            event_id=fact.event_id,
            type=type_of(type(fact).__name__, fact.job),
            time=rfc3339(fact.occurred_at),
            details={**details(fact), **_judged(record.code)},
        )
    return TimelineEvent(
        event_id=None,
        type=events.FACTS[state.FACT_NAMES[record.code]].topic,
        time=rfc3339(record.occurred_at),
        details=_implied(record.code),
    )


def _implied(code: int) -> Details:
    if code in state.BOUNCE_KINDS:
        return {"kind": state.BOUNCE_KINDS[code], "late": code in state.LATE_CODES}
    return _judged(code)


def _judged(code: int) -> Details:
    """What was found out about a click after its event was told."""
    return {"machine": "scanner", "reason": state.LATE_REASONS[code]} if code in state.LATE_REASONS else {}
