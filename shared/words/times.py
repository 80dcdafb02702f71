"""Times as everybody outside sees them: RFC 3339, UTC, milliseconds."""

from datetime import UTC, datetime
from functools import lru_cache

#: The last that four digits of a year can say.
_LAST_MS = 253_402_300_799_999


def rfc3339(ms: int) -> str:
    """Ms since the epoch as `2026-01-31T09:05:00.123Z`."""
    seconds, thousandths = divmod(min(max(ms, 0), _LAST_MS), 1000)
    return f"{_second(seconds)}.{thousandths:03d}Z"


@lru_cache(1_000)
def _second(seconds: int) -> str:
    """Events that are told together happened in few seconds."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"
