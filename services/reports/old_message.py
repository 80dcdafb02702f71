"""A message of a job that was removed, as the archive tells of it: the same page, made of its events alone.

What the job said to keep with the recipient is gone with the job. Facts are counted as they were when they came, so a
message is in the same state, also where some were published twice.
"""

from collections.abc import Iterable

from services.reports import state
from services.reports.describe import MessageReport, TimelineEvent
from services.reports.timeline import event_bytes
from shared.archive.asked import Asked, Behind, Place, Row
from shared.words import events, ids
from shared.words.public import details, type_of
from shared.words.times import rfc3339

#: Events of one message that are shown at most.
MOST = 1_000
_EVER = 2**47


async def old_message(behind: Behind, tenant: str, job: str, ordinal: int, partition: int) -> MessageReport | None:
    """None if the archive has nothing of it for that tenant. SearchFailed."""
    since = (ids.job_created_ms(job) - 1, 0)
    asked = Asked(tenant, {partition: Place(since, (_EVER, 0))}, MOST, job=job, ordinal=ordinal)
    answer = await behind.find(asked)
    return report(job, ordinal, answer.rows) if answer.rows else None


def report(job: str, ordinal: int, rows: Iterable[Row]) -> MessageReport:
    """Of its events, in the order in which they were recorded."""
    byte, seen = 0, set[tuple[bytes, int]]()
    emails: list[str] = []
    shown: list[events.Fact] = []
    for row in rows:
        code = state.code_of(row.fact)
        if code is None or (event_bytes(row.fact.event_id)[:5], code) in seen:
            continue
        seen.add((event_bytes(row.fact.event_id)[:5], code))
        byte = state.after(byte, code)
        shown.append(row.fact)
        emails += [row.fact.email] if row.fact.email else []
    shown.sort(key=lambda fact: fact.occurred_at)
    return MessageReport(
        id=ids.message_id(job, ordinal),
        job=job,
        email=emails[0] if emails else "",
        metadata={},
        state=state.word(byte),
        timeline=[_line(fact) for fact in shown],
    )


def _line(fact: events.Fact) -> TimelineEvent:
    return TimelineEvent(
        event_id=fact.event_id,
        type=type_of(type(fact).__name__, fact.job),
        time=rfc3339(fact.occurred_at),
        details=details(fact),
    )
