"""Whether the host that links of a domain's mails begin with leads to our trackers: it has no other addresses than the
host of `tracking.base_url`.

An alias (CNAME) has them by nature. What stands in front of trackers may have addresses of its own for such a host;
then `differs` tells of it, and nothing else depends on it: links begin with what an operator set.
"""

from collections.abc import Callable

from shared.mail.dkim_rotation import Check
from shared.net import dns
from shared.net.dns import DnsUnavailable
from shared.net.return_paths import Judged, Resolver


async def leads_to(host: str, ours: str, resolver: Resolver) -> Judged:
    """Whether all addresses of `host` are among those of `ours`."""
    found, known = await resolver.addresses(host), await resolver.addresses(ours)
    if isinstance(found, DnsUnavailable):
        return Judged("unavailable", f"DNS does not answer for {host}")
    if isinstance(known, DnsUnavailable):
        return Judged("unavailable", f"DNS does not answer for {ours}")
    if not known:
        return Judged("missing", f"{ours} of this installation has no address itself: tell its operator")
    if not found:
        return Judged("missing", f"links lead nowhere: it has no address; publish the alias to {ours}.")
    strange = sorted(set(found).difference(known))
    if strange:
        return Judged("differs", f"it leads to {strange[0]}, which is no address of {ours}; publish the alias alone")
    return Judged("published")


class TrackingHostChecks:
    """`ours` is the host of `tracking.base_url`; `ask` gives a resolver that remembers nothing, to be closed; `now_ms`
    is when."""

    def __init__(self, ours: str, ask: Callable[[], dns.Resolver], now_ms: Callable[[], int]) -> None:
        self._ours = ours
        self._ask = ask
        self._now_ms = now_ms

    async def __call__(self, host: str) -> Check:
        """Whether what begins with that host leads to us."""
        resolver = self._ask()
        try:
            judged = await leads_to(host, self._ours, resolver)
        finally:
            await resolver.close()
        return Check(judged.dns, judged.detail, self._now_ms())
