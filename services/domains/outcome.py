"""What a check of a sending domain came to, and the fact that tells it where that is news. Pure."""

from collections.abc import Sequence

from shared.words import events
from shared.words.events import DomainChecked
from shared.words.sending_domain import DnsRecord, SendingDomain


def outcome(domain: SendingDomain, records: Sequence[DnsRecord]) -> str:
    """A digest of whose it is and what DNS shows of each record."""
    shown = [part for one in records for part in (one.type, one.name, one.value, one.dns)]
    return events.event_id(domain.standing, domain.waits_for or "", *shown)


def fact(domain: SendingDomain, records: Sequence[DnsRecord], now_ms: int) -> DomainChecked | None:
    """None: it has been told. Who tells it twice, because they died before they had noted it, tells one event."""
    found = outcome(domain, records)
    if found == domain.told:
        return None
    wrong = [f"{one.type} {one.name} {one.dns}" for one in records if one.dns != "published"]
    return DomainChecked(
        **events.about(
            domain.tenant,
            now_ms,
            "DomainChecked",
            domain.tenant,
            domain.domain,
            domain.created_at,
            domain.times_told,
            found,
        ),
        domain=domain.domain,
        state=domain.standing,
        waits_for=domain.waits_for or "",
        published=len(records) - len(wrong),
        of=len(records),
        wrong="\n".join(wrong),
    )
