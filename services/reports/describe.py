"""Facts as the API shows them: a word, a time, the message, and what this kind of fact has besides."""

from typing import Any

import msgspec

from services.reports import state
from services.reports.timeline import Record
from shared.words import events, ids
from shared.words.times import rfc3339

#: The fields that all facts share; what follows them are the details of the kind.
_COMMON = len(events.Fact.__struct_fields__)

#: What facts are called that have no job: an address enters the list, the bulk of a tenant is stopped and goes on.
_WITHOUT_JOB = {"Suppressed": "address.suppressed", "Stopped": "tenant.stopped", "Resumed": "tenant.resumed"}
#: Every type there is → the name of the fact on the stream.
TYPES: dict[str, str] = {
    **{fact.topic: name for name, fact in events.FACTS.items()},
    **{topic: name for name, topic in _WITHOUT_JOB.items()},
}

Details = dict[str, str | int | bool | None]


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """`details` are the fields of this type of event. `job` and `message` are null for one about an address alone."""

    event_id: str
    type: str
    time: str
    job: str | None
    message: str | None
    email: str | None
    details: Details


class TimelineEvent(msgspec.Struct, frozen=True, kw_only=True):
    """`event_id` is null, and of the details only what the type implies is left, when the event itself is retained no
    more."""

    event_id: str | None
    type: str
    time: str
    details: Details


class MessageReport(msgspec.Struct, frozen=True, kw_only=True):
    """`state` is `waiting`, `accepted`, `deferred`, or the end: `delivered`, `bounced`, `expired`, `failed`,
    `suppressed`, `rejected`."""

    id: str
    job: str
    email: str
    metadata: dict[str, str]
    state: str
    timeline: list[TimelineEvent]


def type_of(name: str, job: str) -> str:
    """The type of a fact by its name and its job, "" for none."""
    return events.FACTS[name].topic if job else _WITHOUT_JOB.get(name, events.FACTS[name].topic)


def event(fact: events.Fact, email: str | None) -> Event:
    """`email` is the recipient's address where the fact does not carry it."""
    return Event(
        event_id=fact.event_id,
        type=type_of(type(fact).__name__, fact.job),
        time=rfc3339(fact.occurred_at),
        job=fact.job or None,
        message=ids.message_id(fact.job, fact.ordinal) if fact.job and fact.ordinal is not None else None,
        email=fact.email or email,
        details=details(fact),
    )


def timeline_event(record: Record, fact: events.Fact | None) -> TimelineEvent:
    """One line of a message's timeline; `fact` is None when it is retained no more."""
    if fact is not None:
        return TimelineEvent(
            event_id=fact.event_id,
            type=type_of(type(fact).__name__, fact.job),
            time=rfc3339(fact.occurred_at),
            details=details(fact),
        )
    return TimelineEvent(
        event_id=None,
        type=events.FACTS[state.FACT_NAMES[record.code]].topic,
        time=rfc3339(record.occurred_at),
        details=_implied(record.code),
    )


def details(fact: events.Fact) -> Details:
    """What the kind of fact has besides what all have; times as RFC 3339."""
    return {name: _shown(name, getattr(fact, name)) for name in fact.__struct_fields__[_COMMON:]}


def _shown(name: str, value: Any) -> Any:
    if name.endswith("_at"):
        return rfc3339(value) if value else None
    return value


def _implied(code: int) -> Details:
    if code in state.BOUNCE_KINDS:
        return {"kind": state.BOUNCE_KINDS[code], "late": code in state.LATE_CODES}
    return {}
