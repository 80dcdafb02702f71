"""When something happened, as other engines write it in their files. Pure."""

from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

#: Before that nobody kept such lists; a number that is less is none of a time.
_FIRST_S = 600_000_000
#: The year of no time at all in Go, which readers of RFC 5322 take for 2001 (section 4.3).
_ZERO = " 0001 "


def moment_ms(text: str, now_ms: int) -> int:
    """Ms since the epoch; 0 if it is no time, or one to come. Without a zone it is UTC. Known are RFC 3339 and all that
    ISO 8601 has of it, RFC 5322 (Mailgun), seconds or ms since the epoch (SendGrid), `31/01/2026 09:05`."""
    text = text.strip()
    if not text or _ZERO in text:
        return 0
    found = _numeric(text) if text.isascii() and text.isdigit() and len(text) <= 13 else _written(text)
    return found if _FIRST_S * 1000 <= found <= now_ms else 0


def _numeric(text: str) -> int:
    number = int(text)
    return number if number > _FIRST_S * 100 else number * 1000


def _written(text: str) -> int:
    for read in _READERS:
        try:
            found = read(text)
            return round((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1000)
        except (ValueError, OverflowError, TypeError, IndexError):
            continue
    return 0


def _day_first(text: str) -> datetime:
    day, _, time = text.partition(" ")
    return datetime.fromisoformat("-".join(reversed(day.split("/"))) + f" {time or '00:00'}")


_READERS: tuple[Callable[[str], datetime], ...] = (datetime.fromisoformat, parsedate_to_datetime, _day_first)


def exact_ms(text: str) -> int | None:
    """What `shared.words.times.rfc3339` wrote, 0 where there is nothing, None if it is something else."""
    if not text:
        return 0
    try:
        found = datetime.fromisoformat(text)
        return round(found.timestamp() * 1000) if found.tzinfo else None
    except (ValueError, OverflowError):
        return None
