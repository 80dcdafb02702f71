"""A passage and a gate that let everything through, as those of a site without limits do, until told not to."""

from collections.abc import Sequence

from services.relay.traffic.egress import DEFAULT, Source
from services.relay.words.hop import Hop
from services.relay.words.notnow import NotNow
from services.relay.words.outlet import Outlet
from services.relay.words.reply import Reply
from services.relay.words.tls import TlsPolicy
from shared.redis.cancels import Cancel, Cancels
from shared.words import events


class FreePassage:
    """`refusals` are by source: what `enter` answers, each once; `slots` are those taken now and at most."""

    def __init__(self, *sources: str, mails_per_connection: int = 500) -> None:
        self.sources = [Source(name) for name in sources or (DEFAULT,)]
        self.mails_per_connection = mails_per_connection
        self.refusals: dict[str, list[NotNow]] = {}
        self.resting: set[str] = set()
        self.replies: list[Reply] = []
        self.refused_sources: list[str] = []
        self.slots = self.most_slots = 0
        self._has_slot = False

    def source(self, address: str | None) -> Source | NotNow:
        for source in self.sources:
            if source.name not in self.resting:
                return source
        return NotNow(1000, "source", "pool:default")

    async def enter(self, source: Source) -> NotNow | None:
        if refusals := self.refusals.get(source.name):
            refused = refusals.pop(0)
            if refused.scope == "source":
                self.resting.add(source.name)
            return refused
        self._has_slot = True
        self.slots += 1
        self.most_slots = max(self.most_slots, self.slots)
        return None

    def is_good(self, mails: int, *, idle: bool) -> bool:
        return mails < self.mails_per_connection

    def heard(self, source: str, reply: Reply) -> None:
        self.replies.append(reply)

    def refused(self, source: str) -> None:
        self.refused_sources.append(source)

    async def leave(self) -> None:
        if self._has_slot:
            self.slots -= 1
        self._has_slot = False


class FreeGate:
    """`refusals` are what `permit` answers, each once; then everything may go. `permitted` are (site, source, ordinal)
    in the order in which they went."""

    def __init__(self) -> None:
        self.refusals: list[NotNow] = []
        self.permitted: list[tuple[str, str, int]] = []
        self.taken: list[tuple[str, str]] = []
        self.many_hosts: set[str] = set()
        #: Pools by tenant, where a test says them; and the sites whose limits were told.
        self.pools: dict[str, str] = {}
        self.told: list[str] = []
        #: Seconds by site, where a test says them.
        self.idle: dict[str, float] = {}

    def outlet(self, site: str, ready: events.Ready) -> Outlet:
        return Outlet(self.pools.get(ready.tenant, DEFAULT))

    def connections(self, site: str) -> int:
        return 1000

    def idle_s(self, site: str) -> float:
        return self.idle.get(site, 5.0)

    def has_many_hosts(self, site: str) -> bool:
        return site in self.many_hosts

    def has_source(self, site: str, pool: str) -> bool:
        return False

    async def permit(self, site: str, source: str, ready: events.Ready, rate: str) -> NotNow | None:
        if self.refusals:
            return self.refusals.pop(0)
        self.permitted.append((site, source, ready.ordinal))
        return None

    def tell_limits(self, site: str) -> None:
        self.told.append(site)

    def accepted(self, site: str, source: str) -> None:
        self.taken.append((site, source))


class Unstopped:
    """`stopped` are jobs; `cancels` has marks that a test puts there."""

    def __init__(self) -> None:
        self.stopped: set[str] = set()
        self.cancels = Cancels(self)

    async def all(self) -> dict[str, Cancel]:
        return dict(self.cancels.marks)

    def cancelled(self, ready: events.Ready, site: str) -> Cancel | None:
        return self.cancels.of(ready.job, ready.tenant, ready.stream, site)

    def reason(self, job: str, tenant: str, stream: str) -> str | None:
        return "invalid_rate" if job in self.stopped else None

    async def lifted(self, jobs: Sequence[str]) -> list[str]:
        return [job for job in jobs if job not in self.stopped]


class Sessions:
    """Who was dialled for whom, and how and why that failed at TLS."""

    def __init__(self) -> None:
        self.noted: list[tuple[str, str, str, str]] = []

    def note(
        self, domain: str, policy: TlsPolicy, hop: Hop, failure: str, source_ip: str = "", reason: str = ""
    ) -> None:
        self.noted.append((domain, hop.host, failure, reason))
