"""Header fields of a job: which may be given, and with what value. Pure."""

import re

from services.queueing import characters
from shared.mail import headers
from shared.words.errors import Fault

#: Header fields that the relay writes, and those of other hands on the way. Names in lower case.
_OURS = frozenset(
    (
        "from", "sender", "reply-to", "to", "cc", "bcc", "subject", "date", "message-id", "mime-version", "return-path",
        "received", "received-spf", "delivered-to", "dkim-signature", "authentication-results", "list-unsubscribe",
        "list-unsubscribe-post", "feedback-id", "cfbl-address", "cfbl-feedback-id",
    )
)  # fmt: skip
_OUR_FAMILIES = ("content-", "resent-", "arc-")
# RFC 5322 section 3.6.8.
_HEADER_NAME = re.compile(r"[!-9;-~]{1,76}")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")


def read(given: dict[str, str], *, most: int, most_chars: int, faults: list[Fault]) -> list[tuple[str, str]]:
    """Folded and encoded; `most` of them, each of `most_chars`."""
    if len(given) > most:
        faults.append(Fault("$.headers", f"{len(given)} header fields; at most {most}"))
        return []
    seen: set[str] = set()
    for name, value in given.items():
        lower = name.lower()
        if what := _fault(name, lower, value, seen, most_chars):
            faults.append(Fault(f"$.headers[{name[:80]!r}]", what))
        seen.add(lower)
    return [(name, headers.unstructured(value, len(name))) for name, value in given.items()]


def _fault(name: str, lower: str, value: str, seen: set[str], most_chars: int) -> str | None:
    if not _HEADER_NAME.fullmatch(name):
        return "not a header field's name: 1 to 76 characters of ASCII without blanks, controls and colons"
    if lower == "reply-to":
        return "given as reply_to, not among the headers"
    if lower in _OURS or lower.startswith(_OUR_FAMILIES):
        return "written by the engine; it cannot be given"
    if lower in seen:
        return "given twice"
    if (what := characters.fault(value)) is not None:
        return f"its value {what}"
    if _CONTROL.search(value):
        return "its value has control characters, such as CR or LF"
    if len(value) > most_chars:
        return f"its value has {len(value)} characters; at most {most_chars}"
    return None
