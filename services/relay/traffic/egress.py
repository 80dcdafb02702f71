"""By which of our addresses a message leaves: sources, the pools they form, and how new ones are warmed up. Pure.

The file (`relay.egress_file`) names them; without one there is a single source, `default`, with whatever address the
system picks.

    [source.a1]
    address = "192.0.2.10"                  # bound before connecting; IPv4 or IPv6
    helo = "a1.mail.example"                # what EHLO says; its forward and reverse DNS should name this address
    weight = 2                              # twice the share of a source of weight 1
    warmup = { started = 2026-11-01, plan = "default", provider = { gmail = "slow", orange = [20, 40, 80] } }

    [plan.slow]
    days = [20, 30, 45, 70]                 # messages a day to one site; after the last day the address is warm

    [pool.bulk]
    sources = ["a1", "a2"]

    [streams]
    bulk = "bulk"                           # a stream that is not named uses the pool `default`: unless written, all

    [tenant.acme]
    bulk = "acme"

**Warm-up.** Providers judge a new address by how its volume grows, each provider for itself; so the allowance counts by
address and site. What is above it goes by warm addresses of the pool or waits for the next day (UTC). Before its
`started` an address sends nothing.

**Shares.** `choose` takes the usable source that is furthest behind its weight in what was sent, and a connection whose
source `is_ahead` of its weight is not used again while another source could have one: so shares hold however many mails
a connection may carry, and a new address has what it may send. Over what time that counts is the caller's matter;
`Sent` forgets as it goes, so that a source that comes back from a rest does not have to make up for all it missed,
which providers would see as a burst.
"""

import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from ipaddress import IPv6Address, ip_address
from types import MappingProxyType
from typing import get_args

from shared.process.tables import (
    Table,
    shown,
    text,
    texts,
    whole,
)
from shared.words.content import Stream
from shared.words.sites import PROVIDERS

#: What a source, pool and stream are called when nothing names them.
DEFAULT = "default"

#: Messages a day to one site by a new address. `default` doubles daily from 50, as provider and sender guides advise
#: for opted-in mail (postmaster pages ask for a gradual increase and name no numbers); `slow` grows by half.
PLANS: Mapping[str, Sequence[int]] = MappingProxyType(
    {
        "default": (50, 100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 51_200, 102_400),
        "slow": (
            50, 75, 110, 170, 250, 380, 570, 850, 1_300, 1_900, 2_900, 4_300, 6_500, 9_700, 15_000, 22_000, 33_000,
            49_000, 74_000, 111_000,
        ),
        "none": (),
    }
)  # fmt: skip
#: Labels of letters, digits and hyphens, at least two: RFC 5321 section 4.1.1.1 wants a name that resolves, and
#: `localhost` is what spam says.
_HOST_NAME = re.compile(r"(?=.{4,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]*[a-z][a-z0-9-]*", re.IGNORECASE)
_PROVIDERS = sorted(provider.name for provider in PROVIDERS)
MAX_WEIGHT = 1_000
#: A source gives its connections up to others when it has sent so many mails, or such a part, more than its share: a
#: tenth is what is promised over a thousand mails, and a new connection costs little every few dozen.
AHEAD_MAILS = 2
AHEAD_PART = 0.04
MAX_DAILY = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Warmup:
    """`plan` is messages a day to one site, from `started` on; `by_site` has other plans for some."""

    started: date
    plan: tuple[int, ...]
    by_site: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Source:
    """`address` is bound before connecting; empty: the system's choice. `helo`, where empty, is the relay's own."""

    name: str
    address: str = ""
    helo: str = ""
    weight: int = 1
    warmup: Warmup | None = None

    def reaches(self, address: str | None) -> bool:
        """Whether a connection from here to this address can be: both are IPv4, or both IPv6."""
        return not self.address or address is None or (":" in self.address) == (":" in address)


@dataclass(frozen=True, slots=True)
class Pool:
    name: str
    sources: tuple[Source, ...]


@dataclass(frozen=True, slots=True)
class Egress:
    """The file, read. `of_stream` and `of_tenant` name pools."""

    sources: Mapping[str, Source]
    pools: Mapping[str, Pool]
    of_stream: Mapping[str, str]
    of_tenant: Mapping[str, Mapping[str, str]]

    @classmethod
    def parse(cls, toml: str) -> "Egress":
        """ValueError lists every fault, a line each."""
        faults: list[str] = []
        egress = _read(toml, faults)
        if faults:
            raise ValueError("\n".join(faults))
        return egress

    def pool(self, stream: str, tenant: str) -> Pool:
        """The tenant's pool for this stream, else the stream's, else the default."""
        name = self.of_tenant.get(tenant, {}).get(stream) or self.of_stream.get(stream, DEFAULT)
        return self.pools[name]


class Sent(Mapping[str, int]):
    """How many messages each source of a pool sent lately: past `window` all counts are halved."""

    __slots__ = ("_counts", "_sum", "_window")

    def __init__(self, window: int = 1_000) -> None:
        self._counts: dict[str, int] = {}
        self._sum = 0
        self._window = window

    def note(self, source: str) -> None:
        self._counts[source] = self._counts.get(source, 0) + 1
        self._sum += 1
        if self._sum > self._window:
            self._counts = {name: count // 2 for name, count in self._counts.items()}
            self._sum = sum(self._counts.values())

    def __getitem__(self, source: str) -> int:
        return self._counts[source]

    def __iter__(self) -> Iterator[str]:
        return iter(self._counts)

    def __len__(self) -> int:
        return len(self._counts)


def choose(pool: Pool, usable: Callable[[Source], bool], sent: Mapping[str, int]) -> Source | None:
    """The usable source that is furthest behind its weight in `sent`, the first of the pool among equals; None when
    none is usable. The next message counts too: a heavy source comes before a light one also when nothing was sent."""
    able = [source for source in pool.sources if usable(source)]
    return min(able, key=lambda source: (sent.get(source.name, 0) + 1) / source.weight, default=None)


def is_ahead(able: Sequence[Source], source: str, sent: Mapping[str, int], connections: int) -> bool:
    """Whether the source has sent so much more than its share that another is to go on in its place. `able` are those
    that could, `connections` those that the source has open: they may have a message each under way."""
    if len(able) < 2:
        return False
    weights = sum(one.weight for one in able)
    total = sum(sent.get(one.name, 0) for one in able)
    fair = next((total * one.weight / weights for one in able if one.name == source), None)
    return fair is not None and sent.get(source, 0) > fair + max(AHEAD_MAILS + connections, AHEAD_PART * fair)


def allowance(source: Source, site: str, day: date) -> int | None:
    """Messages that this source may send to this site on this day (UTC); None: it is warm, as many as there are."""
    warmup = source.warmup
    if warmup is None:
        return None
    days = (day - warmup.started).days
    if days < 0:
        return 0
    plan = warmup.by_site.get(site, warmup.plan)
    return plan[days] if days < len(plan) else None


def _read(toml: str, faults: list[str]) -> Egress:
    try:
        root = Table(tomllib.loads(toml), "", faults)
    except tomllib.TOMLDecodeError as error:
        faults.append(f"this is not TOML: {error}")
        root = Table({}, "", [])
    plans = dict(PLANS) | {name: _plan_table(table) for name, table in root.tables("plan", "[plan.{}]").items()}
    sources = {name: _source(name, table, plans) for name, table in root.tables("source", "[source.{}]").items()} or {
        DEFAULT: Source(DEFAULT)
    }
    _no_address_twice(sources.values(), faults)
    pools = {name: _pool(name, table, sources) for name, table in root.tables("pool", "[pool.{}]").items()}
    pools.setdefault(DEFAULT, Pool(DEFAULT, tuple(sources.values())))
    of_stream = _streams(root.table("streams"), pools)
    of_tenant = {name: _streams(table, pools) for name, table in root.tables("tenant", "[tenant.{}]").items()}
    root.end()
    return Egress(sources, pools, of_stream, of_tenant)


def _source(name: str, table: Table, plans: Mapping[str, Sequence[int]]) -> Source:
    source = Source(
        name,
        address=table.take("address", "", _address),
        helo=table.take("helo", "", _helo),
        weight=table.take("weight", 1, whole(1, MAX_WEIGHT)),
        warmup=_warmup(table.table("warmup"), plans) if "warmup" in table else None,
    )
    for key in ("address", "helo"):
        if key not in table:
            table.fault(f"{key} is missing")
    table.end()
    return source


def _warmup(table: Table, plans: Mapping[str, Sequence[int]]) -> Warmup | None:
    def plan(value: object) -> tuple[int, ...]:
        if not isinstance(value, str):
            return _days(value)
        if value not in plans:
            raise ValueError(f"is one of {', '.join(sorted(plans))} or a list of numbers, not {shown(value)}")
        return tuple(plans[value])

    started = table.take("started", None, _day)
    if "started" not in table:
        table.fault("started is missing: the day of the first messages, as in 2026-11-01")
    general = table.take("plan", tuple(plans[DEFAULT]), plan)
    own = table.table("provider")
    by_site = {site: own.take(site, (), plan) for site in own}
    for site in by_site:
        if site not in _PROVIDERS and "." not in site:
            own.fault(f"there is no provider {shown(site)}; known are {', '.join(_PROVIDERS)}, and sites with a dot")
    table.end()
    return Warmup(started, general, by_site) if started else None


def _plan_table(table: Table) -> tuple[int, ...]:
    days = table.take("days", (), _days)
    if "days" not in table:
        table.fault("days is missing: the messages of each day, as in [50, 100, 200]")
    table.end()
    return days


def _pool(name: str, table: Table, sources: Mapping[str, Source]) -> Pool:
    named = table.take("sources", (), texts)
    if "sources" not in table:
        table.fault('sources is missing: the names of its sources, as in ["a1", "a2"]')
    for source in sorted(set(named) - set(sources)):
        table.fault(f"there is no source {shown(source)}; known are {', '.join(sources)}")
    if len(set(named)) < len(named):
        table.fault("a source is named twice; its share is its weight")
    table.end()
    return Pool(name, tuple(sources[source] for source in dict.fromkeys(named) if source in sources))


def _streams(table: Table, pools: Mapping[str, Pool]) -> dict[str, str]:
    def pool(value: object) -> str:
        if not isinstance(value, str) or value not in pools:
            raise ValueError(f"names the pool {shown(value)}; known are {', '.join(pools)}")
        return value

    chosen = {stream: table.take(stream, "", pool) for stream in get_args(Stream)}
    table.end()
    return {stream: name for stream, name in chosen.items() if name}


def _no_address_twice(sources: Iterable[Source], faults: list[str]) -> None:
    """Two sources with one address would be one to every provider, and have twice its limits."""
    first: dict[str, str] = {}
    faults += (
        f"[source.{source.name}]: address {source.address} is that of {other} too"
        for source in sources
        if source.address and (other := first.setdefault(source.address, source.name)) != source.name
    )


def _address(value: object) -> str:
    try:
        address = ip_address(text(value))
    except ValueError:
        raise ValueError(f"is an IPv4 or IPv6 address, not {shown(value)}") from None
    if address.is_unspecified or address.is_multicast or (isinstance(address, IPv6Address) and address.scope_id):
        raise ValueError(f"is one that mail can leave by, not {shown(value)}")
    return str(address)


def _helo(value: object) -> str:
    name = text(value)
    if not _HOST_NAME.fullmatch(name):
        raise ValueError(f"is a fully qualified host name, not {shown(value)}")
    return name


def _day(value: object) -> date:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    raise ValueError(f"is a day like 2026-11-01, without quotes, not {shown(value)}")


def _days(value: object) -> tuple[int, ...]:
    count = whole(1, MAX_DAILY)
    if not isinstance(value, list) or not value:
        raise ValueError(f"is a list of messages a day, not {shown(value)}")
    return tuple(count(item) for item in value)
