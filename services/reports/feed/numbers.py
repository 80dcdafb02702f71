"""Types of events as numbers, as feeds keep them. A number is never given again.

What is not here is `OTHER`: it is in the feed as well, and is looked at one by one when types are chosen.
"""

from shared.words import events, public

#: 64 fit beside the kind of job in one varint (`chunks`).
NUMBERS: dict[str, int] = {
    "message.accepted": 1,
    "message.rejected": 2,
    "message.suppressed": 3,
    "message.delivered": 4,
    "message.deferred": 5,
    "message.bounced": 6,
    "message.expired": 7,
    "message.failed": 8,
    "message.cancelled": 9,
    "message.opened": 10,
    "message.clicked": 11,
    "message.document_opened": 12,
    "message.page_viewed": 13,
    "message.visitor_acted": 14,
    "message.visitor_consented": 15,
    "message.unsubscribed": 16,
    "message.complained": 17,
    "message.auto_replied": 18,
    "address.document_opened": 19,
    "address.suppressed": 20,
    "address.reactivated": 21,
    "address.erased": 22,
    "address.retention_near": 23,
    "address.opted_in": 24,
    "address.preferences_changed": 25,
    "job.stopped": 26,
    "job.resumed": 27,
    "tenant.stopped": 28,
    "tenant.resumed": 29,
    "operator.acted": 30,
    "tenant.warned": 31,
    "message.replied": 32,
    "job.finished": 33,
    "domain.checked": 34,
    "contact.added": 35,
    "contact.updated": 36,
    "activity.ranked": 37,
    "contact.at_risk": 38,
}
OTHER = 0


def number_of(name: str, job: str) -> int:
    """Of a fact by its name and its job; `OTHER` of one that has no number."""
    return NUMBERS.get(public.type_of(name, job), OTHER) if name in events.FACTS else OTHER


def numbers_of(types: frozenset[str]) -> frozenset[int]:
    """Under which numbers events of these types are."""
    return frozenset(NUMBERS.get(one, OTHER) for one in types)
