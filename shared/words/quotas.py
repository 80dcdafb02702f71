"""Quotas of tenants: how much one may ask for and keep, so that nobody who asks for all there is takes it from others.

What each quota counts stands in `errors.QUOTAS`; the defaults are settings (`quotas.*`), and a tenant's record may have
others. All keys of a tenant count as one tenant. A request beyond a quota is answered 429 with Retry-After and the
quota's name, limit and use, and changes nothing.

Requests are counted here, in the memory of the process: a tenant has the quota in each HTTP process, because a round
trip to Redis for each would cost more than most requests do. What is kept is counted in Redis, in the scripts that keep
it.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from shared.words.errors import QUOTAS, Fault, Problem, QuotaExceeded

NAMES = tuple(QUOTAS)
#: A tenant's refusals that are answered at once, and so many a second from then on; a body counts as some more, since
#: reading it to its end is what lets the answer be heard. So asking again at once is no way to keep a process busy.
REFUSALS_AT_ONCE = 40
REFUSALS_PER_S = 20
BODY_BYTES_OF_A_REFUSAL = 100_000
#: No refusal waits longer.
MAX_REFUSAL_WAIT_S = 5.0
#: Above that, tenants that have nothing under way and a full allowance are forgotten.
MAX_KNOWN = 10_000


def limits(defaults: Mapping[str, int], own: Mapping[str, int]) -> dict[str, int]:
    """The quotas of a tenant: its own where it has one, else the defaults."""
    return {name: own.get(name, defaults[name]) for name in NAMES}


def rate_limit(name: str, limit: int, left: float, until_more_s: float | None, window_s: int | None) -> dict[str, str]:
    """The fields that tell a client what is left of a quota (draft-ietf-httpapi-ratelimit-headers-10, structured
    fields of RFC 9651): how much, in how many seconds there may be more, and the policy that says how much there is in
    how many seconds; of what is kept there is no such window."""
    until = "" if until_more_s is None else f";t={max(1, math.ceil(until_more_s))}"
    window = "" if window_s is None else f";w={window_s}"
    return {
        "RateLimit-Policy": f'"{name}";q={limit}{window}',
        "RateLimit": f'"{name}";r={max(0, math.floor(left))}{until}',
    }


def exceeded(name: str, limit: int, used: int, retry_after_s: float = 1) -> Problem:
    """The answer to a request beyond a quota. `used`: what is in use without the request."""
    seconds = max(1, math.ceil(retry_after_s))
    window_s = 1 if name == "requests_per_second" else None
    what = f"{used} of {limit} in use: {QUOTAS[name]}"
    return Problem(
        "quota_exceeded",
        f"the quota {name} of this tenant is used up ({what})",
        [Fault(name, what)],
        headers={"Retry-After": str(seconds), **rate_limit(name, limit, 0, seconds, window_s)},
        quota=QuotaExceeded(name, limit, used),
    )


class _Asked:
    """Of one tenant: what it may still ask for at once, as of when, and what is under way."""

    __slots__ = ("at", "left", "refusals_at", "refusals_left", "under_way")

    def __init__(self, left: float, at: float) -> None:
        self.left = left
        self.at = at
        self.under_way = 0
        self.refusals_left = float(REFUSALS_AT_ONCE)
        self.refusals_at = at


class Admission:
    """Lets requests in within `requests_per_second` and `requests_under_way`. `monotonic` is the clock in seconds,
    `counted` is told the tenant of each request that was let in."""

    def __init__(
        self,
        defaults: Mapping[str, int],
        monotonic: Callable[[], float],
        counted: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.defaults = defaults
        self._counted = counted
        self._monotonic = monotonic
        self._asked: dict[str, _Asked] = {}

    @contextmanager
    def admitted(self, tenant: str, own: Mapping[str, int]) -> Iterator[None]:
        """While the request is under way. Problem 429 instead."""
        asked = self._admit(tenant, own)
        self._counted(tenant)
        try:
            yield
        finally:
            asked.under_way -= 1

    @contextmanager
    def bounded(self, parent: str, own: Mapping[str, int]) -> Iterator[None]:
        """While a request of a sub-account of `parent` is under way: it counts under the quotas of that one, too.
        Problem 429. Nothing happens where it is "": it is nobody's."""
        if not parent:
            yield
            return
        asked = self._admit(parent, own)
        try:
            yield
        finally:
            asked.under_way -= 1

    def told(self, tenant: str, own: Mapping[str, int]) -> dict[str, str]:
        """What an answer tells of the requests that its tenant may still make at once (`rate_limit`)."""
        rate = own.get("requests_per_second", self.defaults["requests_per_second"])
        asked = self._asked.get(tenant)
        left = float(rate) if asked is None else min(rate, asked.left + (self._monotonic() - asked.at) * rate)
        return rate_limit("requests_per_second", rate, left, 1, 1)

    def refusal_wait_s(self, tenant: str, body_bytes: int) -> float:
        """How long the answer to a refused request waits: nothing, for a client that heeds Retry-After."""
        now = self._monotonic()
        asked = self._of(tenant, self.defaults["requests_per_second"], now)
        since = now - asked.refusals_at
        asked.refusals_at = now
        left = min(REFUSALS_AT_ONCE, asked.refusals_left + since * REFUSALS_PER_S)
        left -= 1 + body_bytes / BODY_BYTES_OF_A_REFUSAL
        # What none would wait for is not owed either.
        asked.refusals_left = max(left, -MAX_REFUSAL_WAIT_S * REFUSALS_PER_S)
        return max(0.0, -asked.refusals_left) / REFUSALS_PER_S

    def _of(self, tenant: str, rate: float, now: float) -> _Asked:
        asked = self._asked.get(tenant)
        if asked is None:
            if len(self._asked) >= MAX_KNOWN:
                self._forget(now)
            asked = self._asked[tenant] = _Asked(rate, now)
        return asked

    def _admit(self, tenant: str, own: Mapping[str, int]) -> _Asked:
        rate = own.get("requests_per_second", self.defaults["requests_per_second"])
        most = own.get("requests_under_way", self.defaults["requests_under_way"])
        now = self._monotonic()
        asked = self._of(tenant, rate, now)
        asked.left = min(rate, asked.left + (now - asked.at) * rate)
        asked.at = now
        if asked.under_way >= most:
            raise exceeded("requests_under_way", most, asked.under_way)
        if asked.left < 1:
            raise exceeded("requests_per_second", rate, rate, (1 - asked.left) / rate if rate else 60)
        asked.left -= 1
        asked.under_way += 1
        return asked

    def _forget(self, now: float) -> None:
        """After a second without a request a tenant is as one that was never seen."""
        self._asked = {
            name: one
            for name, one in self._asked.items()
            if one.under_way or now - one.at < 1 or now - one.refusals_at < MAX_REFUSAL_WAIT_S
        }
