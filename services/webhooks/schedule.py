"""When what was not taken is sent again, and what an answer means. Pure.

The times are those that Standard Webhooks recommends: in the first minutes somebody restarts a server, in the first
hours somebody is woken, after three days nobody comes. The first attempt is made at once.
"""

from email.utils import parsedate_to_datetime
from typing import Literal

import msgspec

#: Seconds from one attempt to the next: the schedule of the attempts 2 to 10, from the first failure on.
SCHEDULE_S = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
#: Up to so much longer, so that what failed together does not come back together.
JITTER = 0.1
#: As long as the longest wait of ours: who wants more than a day is asked again all the same.
LONGEST_S = 86_400.0

#: Why there is no answer that counts, in a word.
Error = Literal["", "timeout", "reset", "unreachable", "unresolved", "inside", "tls", "garbled", "redirect", "status"]


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one request. `status` is 0 where there was no answer; `retry_after_s` -1 where it names none;
    `detail` is for people, `body` the beginning of what was answered."""

    status: int = 0
    error: Error = ""
    detail: str = ""
    body: bytes = b""
    retry_after_s: float = -1.0
    duration_ms: int = 0

    @property
    def is_taken(self) -> bool:
        return 200 <= self.status < 300 and not self.error

    @property
    def is_gone(self) -> bool:
        """The endpoint is to be asked no more (Standard Webhooks: 410)."""
        return self.status == 410

    @property
    def is_asked_to_wait(self) -> bool:
        """The endpoint as a whole: too much, or not now (RFC 6585 section 4, RFC 9110 section 15.6.4)."""
        return self.status in (429, 503)


def next_ms(attempt: int, failed_ms: int, result: Result, chance: float) -> int | None:
    """When the next attempt is due, after that many; None: there is none. `chance` is in [0, 1)."""
    if attempt > len(SCHEDULE_S):
        return None
    wait_s = SCHEDULE_S[attempt - 1] * (1 + JITTER * chance)
    if result.is_asked_to_wait:
        wait_s = max(wait_s, result.retry_after_s)
    return failed_ms + int(wait_s * 1000)


def retry_after_s(text: str, now_ms: int) -> float:
    """Seconds that a header Retry-After asks for, within a day: a number, or a date (RFC 9110 section 10.2.3). -1 of
    anything else."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:12]), LONGEST_S)
    try:
        at_s = parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError):
        return -1.0
    return min(max(at_s - now_ms / 1000, 0.0), LONGEST_S)
