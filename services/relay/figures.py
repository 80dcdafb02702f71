"""What a relay has open, and what holds it back, as metrics by provider: told anew every few seconds.

Paces, rests and single connections are shared by all relays, and each tells the same of them (`max` over relays);
connections are each relay's own (`sum`).
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from prometheus_client import Gauge

from services.relay.traffic.shaping import Shape
from shared.process.lifecycle import pause
from shared.words.sites import PROVIDERS, provider_label

#: Between two times: more often than anybody scrapes.
EVERY_S = 5.0

CONNECTIONS = Gauge("estafette_relay_provider_connections", "Open connections of this relay", ["provider"])
IN_LINE = Gauge("estafette_relay_provider_line_messages", "Messages in line at this relay", ["provider"])
PACE = Gauge(
    "estafette_relay_pace_messages_per_second",
    "What refusals showed that a provider takes: the sum over its sites and our sources that have a pace",
    ["provider"],
)
PACED = Gauge("estafette_relay_pace_sources", "Sites, by source, that have an adaptive rate for now", ["provider"])
LIMIT_CONNECTIONS = Gauge(
    "estafette_relay_limit_connections", "Connections that shaping allows to a site, 0: any number", ["provider"]
)
LIMIT_RATE = Gauge(
    "estafette_relay_limit_messages_per_second", "Messages that shaping allows to a site, 0: any number", ["provider"]
)
RESTS = Gauge(
    "estafette_relay_rests",
    "Sites, by source, that get nothing (rest_source), or one connection (one_connection): a rule asked for it",
    ["provider", "why"],
)
RESTS_UNTIL = Gauge(
    "estafette_relay_rests_until_timestamp_seconds", "When the last of these is over", ["provider", "why"]
)
POLICIES_SINCE = Gauge(
    "estafette_relay_mta_sts_oldest_timestamp_seconds",
    "When the oldest MTA-STS policy in use was fetched; 0: there is none",
)

_NAMES = (*sorted(provider.name for provider in PROVIDERS), "other")


class Line(Protocol):
    site: str
    connected: int

    def __len__(self) -> int: ...


class Known(Protocol):
    """What relays found out (`limits.paces`)."""

    def found(self) -> Iterable[tuple[str, float]]:
        """Each site with a pace, once for each source, and that pace (messages a second)."""

    def held(self) -> Iterable[tuple[str, str, int]]:
        """Each site, once for each source, why it gets less, and until when (ms)."""


async def tell_forever(
    lines: Iterable[Line],
    known: Known,
    shape: Callable[[str], Shape],
    oldest_policy_ms: Callable[[], int],
    closed: asyncio.Event,
) -> None:
    """Until the last connection is closed. `lines` may be gone through again and again."""
    while not closed.is_set():
        tell_limits(shape)
        tell(lines, known)
        POLICIES_SINCE.set(oldest_policy_ms() / 1000)
        await pause(closed, EVERY_S)


def tell_limits(shape: Callable[[str], Shape]) -> None:
    """Once: they may be others at any time."""
    for provider in _NAMES:
        limits = shape(provider)
        LIMIT_CONNECTIONS.labels(provider).set(limits.connections)
        LIMIT_RATE.labels(provider).set(min((rate.per_s for rate in limits.rates), default=0))


def tell(lines: Iterable[Line], known: Known) -> None:
    """Once."""
    connected: defaultdict[str, float] = defaultdict(float)
    waiting: defaultdict[str, float] = defaultdict(float)
    for line in lines:
        provider = provider_label(line.site)
        connected[provider] += line.connected
        waiting[provider] += len(line)
    paces: defaultdict[str, float] = defaultdict(float)
    paced: defaultdict[str, float] = defaultdict(float)
    for site, per_s in known.found():
        paces[provider_label(site)] += per_s
        paced[provider_label(site)] += 1
    for gauge, values in ((CONNECTIONS, connected), (IN_LINE, waiting), (PACE, paces), (PACED, paced)):
        _set(gauge, {(provider,): value for provider, value in values.items()})
    rests: defaultdict[tuple[str, ...], float] = defaultdict(float)
    until: defaultdict[tuple[str, ...], float] = defaultdict(float)
    for site, why, until_ms in known.held():
        labels = provider_label(site), why
        rests[labels] += 1
        until[labels] = max(until[labels], until_ms / 1000)
    _set(RESTS, rests)
    _set(RESTS_UNTIL, until)


def _set(gauge: Gauge, values: Mapping[tuple[str, ...], float]) -> None:
    """These and no others."""
    gauge.clear()
    for labels, value in values.items():
        gauge.labels(*labels).set(value)
