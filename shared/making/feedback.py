"""The header fields by which providers tell a sender of complaints: Feedback-ID (Gmail) and CFBL-Address (RFC 9477).

    Feedback-ID: 06h00p1ojpat8gl49ngg:promotion.acme:acme:estafette
                 the campaign         kind, tenant   tenant sender id

Gmail counts complaints by each of the four, of mail that a signature covers, and shows those that stand out in
Postmaster Tools (support.google.com/mail/answer/6254652): the last one is 5 to 15 characters and the same on all mail;
any other may be empty, and none may mean one thing here and another there, which is why the kind carries the tenant. A
mail that is a job of its own has no campaign: whoever is counted alone is not shown, and should not be known.

    CFBL-Address: f-<payload>@bounces.example; report=arf
    CFBL-Feedback-ID: f-<payload>

A provider sends its user's complaint there, if a DKIM signature of the right domain covers both fields. The payload
names the message under our signature (`shared.words.verp`): the report may leave out everything else.
"""

import re

from shared.words.content import CompiledContent

#: Mail from person to person is no sender's campaign, and whoever marks it as spam does not mean to tell us.
STREAMS = ("bulk", "transactional")
#: Fields that are written here: nobody else may, or complaints would be counted for others.
NAMES = frozenset(("feedback-id", "cfbl-address", "cfbl-feedback-id"))
#: Of a category in a Feedback-ID. Gmail names no limit but for the sender id; the field stays one short line.
_KIND_CHARS = 32

_NOT_PLAIN = re.compile(r"[^a-z0-9_-]+")


def feedback_id(compiled: CompiledContent, job: str, tenant: str, sender_id: str) -> str:
    """The value of Feedback-ID; "" where the mail gets none."""
    if compiled.stream not in STREAMS:
        return ""
    campaign = job if compiled.stream == "bulk" else ""
    kind = _NOT_PLAIN.sub("-", compiled.category.lower())[:_KIND_CHARS].strip("-") or compiled.stream
    return f"{campaign}:{kind}.{tenant}:{tenant}:{sender_id}"


def covering_domain(from_domain: str, address_domain: str) -> str:
    """Whose DKIM signature makes a CFBL-Address at `address_domain` valid (RFC 9477 section 3.1): that of the From
    domain where the address is at it or below it, else that of the address's own domain."""
    aligned = address_domain == from_domain or address_domain.endswith(f".{from_domain}")
    return from_domain if aligned else address_domain
