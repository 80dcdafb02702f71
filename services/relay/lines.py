"""The lines of a relay, one for each site and outlet, and what of them limits hold back.

What a limit holds back (`gate`) stays in line, a few messages of it: as many as will soon go. The rest is put back, and
while those wait no more of it is taken (`avoided`). So a slow site has a small part of what is in hand.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Sequence

from prometheus_client import Gauge

from services.relay.held import Limits
from services.relay.message.line import Line, Place
from services.relay.message.mail import Mail
from services.relay.words.notnow import NotNow
from services.relay.words.outlet import Outlet
from shared.redis.ready import Avoided

#: Of what a limit holds back so many messages stay in line, or as many as go in `KEPT_S`, whichever is more.
KEPT = 20
KEPT_S = 1.0
#: And no more than this part of all that a relay may hold: a site alone may have twice as much (`shared.redis.ready`).
KEPT_PART = 16
#: A limit that refused is asked again after so long at the latest: an operator may have lifted it.
LONGEST_BLOCK_S = 30.0
#: What is held back counts as that for so much longer: the messages that stayed have their turn first.
SLOW_LONGER_S = 1.0

SITES = Gauge("estafette_relay_active_sites", "Sites with messages in hand")


class SiteLine(Line["asyncio.Task[None]"]):
    """A line with what its workers wait on."""

    __slots__ = ("arrived", "connected", "freshening", "partition", "slow", "stale")

    def __init__(self, site: str, outlet: Outlet, partition: int) -> None:
        super().__init__(site, outlet)
        self.partition = partition
        self.arrived = asyncio.Event()
        self.freshening = asyncio.Lock()
        #: Messages that a worker has, and that wait to be asked about.
        self.stale: list[Mail] = []
        #: Workers whose connection is open.
        self.connected = 0
        #: Until when (monotonic) each place counts as held back, and how many of its messages stay in line meanwhile.
        self.slow: dict[Place | None, tuple[float, int]] = {}

    def reopen(self) -> None:
        """Limits are others now: nothing counts as held back."""
        super().reopen()
        self.slow.clear()

    def slow_places(self, now: float) -> Sequence[tuple[Place | None, int]]:
        """What still counts as held back, and how many messages of it stay in line."""
        if not self.slow:
            return ()
        self.slow = {place: one for place, one in self.slow.items() if one[0] > now}
        return [(place, kept) for place, (_, kept) in self.slow.items()]


class Lines:
    """All of a relay."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._lines: dict[tuple[str, Outlet], SiteLine] = {}
        # The same lines by site; and by partition those of which something may be held back, which are asked about at
        # every lease: walking all of them is too dear where there are thousands.
        self._of_site: dict[str, list[SiteLine]] = {}
        self._slow: defaultdict[int, dict[SiteLine, None]] = defaultdict(dict)

    def __iter__(self) -> Iterator[SiteLine]:
        return iter(self._lines.values())

    def at(self, site: str, outlet: Outlet, partition: int) -> SiteLine:
        """The line; a new one where there is none. A site is in one partition."""
        line = self._lines.get((site, outlet))
        if line is None:
            line = self._lines[site, outlet] = SiteLine(site, outlet, partition)
            self._of_site.setdefault(site, []).append(line)
            SITES.set(len(self._lines))
        return line

    def end(self, line: SiteLine) -> None:
        """Nobody waits in it, and nobody works at it."""
        if self._lines.pop((line.site, line.outlet), None) is None:
            return
        of_site = self._of_site[line.site]
        of_site.remove(line)
        if not of_site:
            del self._of_site[line.site]
        self._slow[line.partition].pop(line, None)
        SITES.set(len(self._lines))

    def avoided(self, partition: int, now: float) -> list[Avoided]:
        """Of which sites of the partition, and queues at sites, enough is in line that may not go now."""
        enough: dict[tuple[str, Place | None], bool] = {}
        slow = self._slow[partition]
        for line in list(slow):
            places = line.slow_places(now)
            if not places:
                del slow[line]
            for place, kept in places:
                # A site has other lines, of other pools: it is not avoided for one's sake.
                name = line.site, place
                enough[name] = enough.get(name, True) and line.waiting(place) * 2 >= kept
        return [
            Avoided(site, *(place or ()))
            for (site, place), is_enough in enough.items()
            if is_enough and (place is not None or self._is_slow(site))
        ]

    def _is_slow(self, site: str) -> bool:
        """None of its lines has messages that may go."""
        return not any(len(line) and None not in line.slow for line in self._of_site[site])

    def mark_slow(self, line: SiteLine, place: Place | None, refused: NotNow, now: float) -> None:
        """No more of it is taken while enough of it is in line."""
        until = now + min(refused.wait_ms / 1000, LONGEST_BLOCK_S) + SLOW_LONGER_S
        line.slow[place] = until, self.kept(line, refused)
        if self._lines.get((line.site, line.outlet)) is line:
            self._slow[line.partition][line] = None

    def kept(self, line: SiteLine, refused: NotNow) -> int:
        """How many messages stay in line that this limit holds back: together with those of other limits no more than a
        small part of what a site may have in hand."""
        if self._limits.alone:
            return 0
        most = self._limits.in_flight // KEPT_PART // max(1, len(line.slow))
        return max(1, min(most, max(KEPT, int(refused.per_s * KEPT_S))))
