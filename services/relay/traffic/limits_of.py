"""Under which limits a message and a connection are: names and numbers, from shaping, warm-up, pace and job. Pure.

    site:gmail               all sources together, at this site
    site:gmail source:a1     this source at this site: providers count by address
    source:a1                this source, over all sites
    tenant:acme              this tenant, over all sites
    job:…                    a job that has a rate of its own
    pace:gmail source:a1     what this site was found to take from this source (pace.py)
    warmup:gmail source:a1   what a new address may send to this site today (egress.py)

Names are what is counted under, over all relays: two limits of one name would be one. A limit that bounds nothing is
left out, and costs nothing.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache

from services.relay.limits.permits import Limit
from services.relay.traffic.egress import Source, allowance
from services.relay.traffic.shaping import Shaping
from shared.words.rates import Rate

DAY_MS = 86_400_000
#: Pairs of site, source and tenant whose limits are remembered; each is some hundred bytes.
REMEMBERED = 10_000


class LimitsOf:
    """The limits of one shaping."""

    def __init__(self, shaping: Shaping) -> None:
        self._shaping = shaping
        # Per instance, so that what was found goes away with it.
        self._lasting: Callable[[str, str, str], tuple[Limit, ...]] = lru_cache(maxsize=REMEMBERED)(self._that_last)

    def message(
        self,
        site: str,
        source: Source,
        tenant: str,
        now_ms: int,
        job: str = "",
        job_rate: Rate | None = None,
        pace: Rate | None = None,
    ) -> list[Limit]:
        """What one message to this site counts under. `pace` is what was found for this site and source."""
        limits = list(self._lasting(site, source.name, tenant))
        if job_rate is not None:
            limits.append(Limit(f"job:{job}", "job", (job_rate,)))
        if pace is not None:
            limits.append(Limit(f"pace:{_at(site, source.name)}", "pace", (pace,)))
        if source.warmup is not None:
            allowed = allowance(source, site, datetime.fromtimestamp(now_ms / 1000, UTC).date())
            if allowed is not None:
                tomorrow_ms = (now_ms // DAY_MS + 1) * DAY_MS
                name = f"warmup:{_at(site, source.name)}"
                limits.append(Limit(name, "warmup", quota=allowed, quota_until_ms=tomorrow_ms))
        return limits

    def connection(self, site: str, source: Source, tenant: str = "", one: bool = False) -> list[Limit]:
        """What one connection to this site counts under; `one`: for now this source keeps a single one. `tenant` is
        that whose connection it is alone: name it where `own_connections` says so."""
        shape = self._shaping.of(site)
        counted = [
            Limit(f"site:{site}", "site", connections=shape.connections),
            Limit(f"site:{_at(site, source.name)}", "source", connections=1 if one else shape.source_connections),
            Limit(f"source:{source.name}", "source", connections=self._shaping.source(source.name).connections),
        ]
        if tenant:
            counted.append(Limit(f"tenant:{tenant}", "tenant", connections=self._shaping.tenant(tenant).connections))
        return [limit for limit in counted if limit.connections]

    def in_words(self, site: str, connections: int) -> str:
        """The limits of the site as people read them; `connections` is how many a process may have."""
        shape = self._shaping.of(site)
        parts = (
            f"{connections} connections",
            shape.source_connections and f"{shape.source_connections} of a source",
            shape.rates and f"messages {', '.join(map(str, shape.rates))}",
            shape.source_rates and f"messages of a source {', '.join(map(str, shape.source_rates))}",
            shape.messages_per_connection and f"{shape.messages_per_connection} messages a connection",
        )
        return "; ".join(str(part) for part in parts if part)

    def own_connections(self, tenant: str) -> bool:
        """Whether this tenant's connections are counted: then it has its own, and lends them to nobody."""
        return self._shaping.tenant(tenant).connections > 0

    def _that_last(self, site: str, source: str, tenant: str) -> tuple[Limit, ...]:
        shape = self._shaping.of(site)
        counted = (
            Limit(f"site:{site}", "site", shape.rates),
            Limit(f"site:{_at(site, source)}", "source", shape.source_rates),
            Limit(f"source:{source}", "source", self._shaping.source(source).rates),
            Limit(f"tenant:{tenant}", "tenant", self._shaping.tenant(tenant).rates),
        )
        return tuple(limit for limit in counted if limit.rates)


def _at(site: str, source: str) -> str:
    return f"{site} source:{source}"
