"""The plan of a chunk: for each recipient a site and a moment, or why it is not queued; and what follows of it."""

from collections import Counter as Counted
from collections.abc import Sequence
from typing import get_args

import msgspec
from prometheus_client import Counter

from services.queueing.moments import Best, Moments
from services.queueing.store import Head
from services.queueing.windows import zone_of
from shared.redis.cancels import Cancel
from shared.redis.once import Mark
from shared.redis.pressure import Mail
from shared.redis.recipients import Waiting
from shared.words import events, ids, once, timing
from shared.words.consent import OBJECTED

BEST_HOURS = Counter(
    "estafette_queueing_best_hours_total",
    "Recipients of jobs that ask for the best hour: known and taken, unknown, or closed, as none of theirs is open",
    ["hour"],
)
_best_hours = {hour: BEST_HOURS.labels(hour) for hour in get_args(Best)}
#: A fact and the field of a decision that leads to it.
_WORDS = {"accepted": "site", "suppressed": "suppressed", "cancelled": "cancelled"}


class Decision(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """What becomes of one recipient: a site, or the reason of its end."""

    site: str = ""
    suppressed: str = ""
    rejected: str = ""
    #: By whom, and why, in their words.
    cancelled: str = ""
    why: str = ""
    #: Nothing is to be recorded about them, whatever the job says.
    untracked: bool = False
    #: When it may go, in ms, and in which hours (`shared.words.timing`); 0 and "": at once, and at any time.
    due_ms: int = 0
    window: str = ""


def decide(suppressed: str | None, site: str | None, held: str | None = None, untracked: bool = False) -> Decision:
    """`held`: why the gate keeps them away. Who objects is told of like who is on the list."""
    if suppressed is not None or held == OBJECTED:
        return Decision(suppressed=suppressed or OBJECTED)
    if held is not None or site is None:
        return Decision(rejected=held or "no_mail_host")
    return Decision(site=site, untracked=untracked)


def first_queued(waiting: Sequence[Waiting], plan: Sequence[Decision]) -> Waiting | None:
    return next((one for one, decision in zip(waiting, plan, strict=True) if decision.site), None)


def mails_of(
    intake: events.Intake, waiting: Sequence[Waiting], plan: Sequence[Decision], *, queued: bool
) -> list[Mail]:
    """The mails that the plan queues, or those that it does not; but for whoever was rejected before it was made."""
    return [
        Mail(intake.first_ordinal + at, one.email)
        for at, (one, decision) in enumerate(zip(waiting, plan, strict=True))
        if one.rejected is None and bool(decision.site) == queued
    ]


def marks_of(
    intake: events.Intake, head: Head, waiting: Sequence[Waiting], plan: Sequence[Decision], *, queued: bool
) -> list[Mark]:
    """The same of a job that names an operation, by their places in it."""
    ordinals = [mail.ordinal for mail in mails_of(intake, waiting, plan, queued=queued)]
    places = places_of(head, [waiting[ordinal - intake.first_ordinal] for ordinal in ordinals])
    return [Mark(*one) for one in zip(ordinals, places, strict=True)]


def places_of(head: Head, waiting: Sequence[Waiting]) -> list[str]:
    """Of each recipient in the operation that the job names; "" where it names none."""
    if not head.operation:
        return [""] * len(waiting)
    operation = once.half(head.operation)
    return [once.place(once.identity(one.email, one.key), operation) for one in waiting]


def cancelled(waiting: Sequence[Waiting], by: Cancel) -> list[Decision]:
    """Nothing of a job that was cancelled is queued."""
    mark = Decision(cancelled=by.by, why=by.why)
    return [mark if one.rejected is None else Decision(rejected=one.rejected) for one in waiting]


def tracked_as(waiting: Sequence[Waiting], plan: Sequence[Decision]) -> list[Waiting]:
    """The recipients as their mails are made: about whom nothing is recorded is decided by now."""
    return [
        msgspec.structs.replace(one, untracked=True) if decision.untracked and not one.untracked else one
        for one, decision in zip(waiting, plan, strict=True)
    ]


def timed(
    intake: events.Intake,
    head: Head,
    waiting: Sequence[Waiting],
    plan: list[Decision],
    best: Sequence[Sequence[int]],
    now_ms: int,
) -> list[Decision]:
    """The plan with the moment of each message, where the job says something of it. What would be over by then comes
    when it is over, and ends as what has expired does. `best`: of each the best hours of their day."""
    if head.timing is None:
        return plan
    begin_ms = head.started_at_ms or ids.job_created_ms(intake.job)
    moments = Moments(head.timing, begin_ms, now_ms, head.expires_at_ms)
    found = []
    for at, (one, decision) in enumerate(zip(waiting, plan, strict=True)):
        if decision.site:
            zone, share = zone_of(one), timing.place(intake.job, intake.first_ordinal + at)
            due_ms, hour = moments.of(zone, share, best[at])
            if head.timing.best_hour:
                _best_hours[hour].inc()
            window = timing.window(head.timing.hours, zone or head.timing.time_zone)
            decision = msgspec.structs.replace(decision, due_ms=due_ms if due_ms > now_ms else 0, window=window)
        found.append(decision)
    return found


Told = events.Accepted | events.Suppressed | events.Rejected | events.Cancelled


def facts_of(intake: events.Intake, waiting: Sequence[Waiting], plan: Sequence[Decision], now_ms: int) -> list[Told]:
    """One fact for each recipient of the chunk."""
    facts: list[Told] = []
    for at, (recipient, decision) in enumerate(zip(waiting, plan, strict=True)):
        ordinal = intake.first_ordinal + at
        word = next((name for name in _WORDS if getattr(decision, _WORDS[name])), "rejected")
        about = events.about_message(intake.tenant, intake.job, ordinal, now_ms, word, email=recipient.email)
        if decision.site:
            facts.append(events.Accepted(**about, site=decision.site))
        elif decision.suppressed:
            facts.append(events.Suppressed(**about, reason=decision.suppressed, where="queueing"))
        elif decision.cancelled:
            facts.append(events.Cancelled(**about, by=decision.cancelled, why=decision.why))
        else:
            facts.append(events.Rejected(**about, reason=decision.rejected))
    return facts


def left_out(facts: Sequence[Told]) -> dict[str, int]:
    """How many are not mailed for which reason: on the list, by a rule, at the gate, an address that is none."""
    return Counted(fact.reason for fact in facts if isinstance(fact, events.Suppressed | events.Rejected))


def ready_of(
    intake: events.Intake, head: Head, ordinal: int, recipient: Waiting, trace: str, decision: Decision, place: str
) -> events.Ready:
    return events.Ready(
        tenant=intake.tenant,
        job=intake.job,
        ordinal=ordinal,
        email=recipient.email,
        name=recipient.name,
        variables=recipient.variables,
        expires_at=head.expires_at_ms,
        untracked=recipient.untracked or decision.untracked,
        stream=head.stream,
        at_most_once=head.at_most_once,
        trace=trace or None,
        list=head.list,
        window=decision.window,
        not_before=decision.due_ms,
        files=recipient.files,
        once=place,
    )
