"""From a verdict about a message to its fact. The same mail about the same message is the same event."""

import msgspec

from services.bounces.verdict import Answer, Automatic, Complaint, Failed, Leaves
from shared.words import events


class Message(msgspec.Struct, frozen=True):
    """A message of a job that exists; or of one that was removed, with the address that its link had sealed."""

    tenant: str
    job: str
    ordinal: int
    email: str | None = None


def fact(
    found: Failed | Complaint | Automatic | Answer | Leaves, message: Message, digest: str, now_ms: int
) -> events.Fact:
    """`digest` is that of the mail (`mail.digest`)."""

    def about(name: str) -> events.About:
        whose = message.tenant, message.job, message.ordinal
        return events.about_message(*whose, now_ms, name, digest, email=message.email)

    match found:
        case Failed(kind, reason, reply, host):
            return events.Bounced(**about("Bounced"), kind=kind, reason=reason, reply=reply, host=host, late=True)
        case Complaint(feedback):
            return events.Complained(
                **about("Complained"), feedback_type=feedback.feedback_type, reporter=feedback.reporter
            )
        case Automatic(kind, subject):
            return events.AutoReplied(**about("AutoReplied"), kind=kind, subject=subject)
        case Answer(subject):
            return events.Replied(**about("Replied"), subject=subject)
        case Leaves():
            return events.Unsubscribed(**about("Unsubscribed"), by="mail")
