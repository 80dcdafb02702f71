"""Where mail comes back to: the return path of the tenant's own, once mail to it comes to us, else the installation's.

DNS is asked, by a resolver that remembers as it is told to, whenever a job looks at its domain again: a record that is
gone takes the return path with it, and no mail ever leaves with one that cannot be answered.
"""

from collections.abc import Callable

from shared.net.return_paths import Resolver, leads_to
from shared.redis.return_paths import KNOWN_MS
from shared.words.sending_domain import SendingDomain


class Returning:
    """`ours` is the installation's domain of return paths."""

    def __init__(self, ours: str, resolver: Resolver, now_ms: Callable[[], int]) -> None:
        self._ours = ours
        self._resolver = resolver
        self._now_ms = now_ms

    async def domain_of(self, sending: SendingDomain) -> str:
        """Of the return paths of mail From it."""
        own = sending.return_path
        if not own or self._now_ms() - sending.return_path_since < KNOWN_MS:
            return self._ours
        return own if (await leads_to(own, self._ours, self._resolver)).dns == "published" else self._ours
