"""From a verdict about a message to its fact. The same mail about the same message is the same event."""

from typing import Any

import msgspec

from services.bounces.verdict import Automatic, Complaint, Failed, Leaves
from shared.words import events


class Message(msgspec.Struct, frozen=True):
    """A message of a job that exists."""

    tenant: str
    job: str
    ordinal: int


def fact(found: Failed | Complaint | Automatic | Leaves, message: Message, digest: str, now_ms: int) -> events.Fact:
    """`digest` is that of the mail (`mail.digest`)."""

    def own(name: str) -> dict[str, Any]:
        return {
            "event_id": events.event_id(message.job, message.ordinal, name, digest),
            "occurred_at": now_ms,
            "tenant": message.tenant,
            "job": message.job,
            "ordinal": message.ordinal,
            "sequence": events.sequence(message.job, now_ms),
        }

    match found:
        case Failed(kind, reason, reply, host):
            return events.Bounced(**own("Bounced"), kind=kind, reason=reason, reply=reply, host=host, late=True)
        case Complaint(feedback):
            return events.Complained(
                **own("Complained"), feedback_type=feedback.feedback_type, reporter=feedback.reporter
            )
        case Automatic(kind, subject):
            return events.AutoReplied(**own("AutoReplied"), kind=kind, subject=subject)
        case Leaves():
            return events.Unsubscribed(**own("Unsubscribed"), by="mail")
