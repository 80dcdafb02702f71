"""What facts begin with: the id that a repeat has too, the place in its message's order, and whose it is.

They are called by `shared.words.events`, whose facts they are for: `events.about_message(…)`.
"""

from hashlib import blake2b
from typing import TypedDict

from shared.words import ids

#: A copy of it is made in half the time of a new one.
_digest = blake2b(digest_size=8)


def event_id(*parts: object) -> str:
    """Sixteen hex digits of what happened: the same parts, the same event."""
    digest = _digest.copy()
    digest.update("\x1f".join([str(part) for part in parts]).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def sequence(job: str, occurred_at: int) -> int:
    """Ms from the job's creation to the fact, never negative (clocks of two hosts may differ)."""
    since = occurred_at - ids.job_created_ms(job)
    return since if since > 0 else 0


class About(TypedDict):
    """The first seven fields of a fact."""

    event_id: str
    occurred_at: int
    tenant: str
    job: str
    ordinal: int | None
    sequence: int
    email: str | None


def about_message(
    tenant: str, job: str, ordinal: int, occurred_at: int, *what: object, email: str | None = None
) -> About:
    """Of a fact about a message. `what` tells it from all others about the message: who writes it twice writes the same
    event, so in `what` is nothing that is another at a repeat."""
    return {
        "event_id": event_id(job, ordinal, *what),
        "occurred_at": occurred_at,
        "tenant": tenant,
        "job": job,
        "ordinal": ordinal,
        "sequence": sequence(job, occurred_at),
        "email": email,
    }


def about(tenant: str, occurred_at: int, *what: object, job: str = "", email: str | None = None) -> About:
    """Of a fact about a job, an address or a tenant. `what` tells it from all facts of the installation."""
    return {
        "event_id": event_id(*what),
        "occurred_at": occurred_at,
        "tenant": tenant,
        "job": job,
        "ordinal": None,
        "sequence": sequence(job, occurred_at) if job else 0,
        "email": email,
    }
