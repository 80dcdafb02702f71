"""Networks from which machines come: the shipped `networks.toml`, and the operator's file laid over it. Pure.

    [[network]]
    name = "barracuda"                                    # what the reason on the event says; the operator's row of a
                                                          # shipped name replaces that
    verdict = "scanner"                                   # a word of `VERDICTS`; `person`: people come from there too
    networks = ["209.222.80.0/21", "2001:db8::/32"]
    asked = "open"                                        # only openings; `click`: only clicks; without it both
    agent = "Mozilla/5.0"                                 # only of exactly this user agent; without it of any

Of networks within each other the smallest one decides. An address is looked up once for each length of prefix that
there is, in a table; the latest addresses are remembered.
"""

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Literal, Protocol, cast

import msgspec

from shared.process.tables import Table, one_of, shown, text, texts

Asked = Literal["open", "click"]

VERDICTS = ("prefetch", "image_proxy", "scanner", "preview", "crawler", "tool", "person")
#: What is told of a file at most.
MAX_ROWS = 10_000
#: Addresses that are remembered, some 100 bytes each.
KNOWN_ADDRESSES = 8192
#: A name stands in every event of its network.
MAX_NAME_CHARS = 40

_Network = IPv4Network | IPv6Network


class Found(msgspec.Struct, frozen=True):
    """A row of a file. `asked` and `agent` are "" where they do not matter."""

    name: str
    verdict: str
    networks: tuple[_Network, ...]
    asked: str = ""
    agent: str = ""


class Known(Protocol):
    """What is known of networks when a request comes."""

    def find(self, ip: str, asked: Asked, user_agent: str) -> Found | None: ...


class Networks:
    """Rows in force; those of one name and network may differ in what they concern, and the first that fits wins."""

    def __init__(self, rows: Iterable[Found] = ()) -> None:
        self.rows = tuple(rows)
        tables: dict[tuple[int, int], dict[int, list[Found]]] = {}
        for row in self.rows:
            for network in row.networks:
                shift = network.max_prefixlen - network.prefixlen
                table = tables.setdefault((network.version, shift), {})
                table.setdefault(int(network.network_address) >> shift, []).append(row)
        # The smallest networks first.
        self._tables = {
            version: [(shift, tables[version, shift]) for of, shift in sorted(tables) if of == version]
            for version in (4, 6)
        }
        self._rows_of = lru_cache(KNOWN_ADDRESSES)(self._look)

    def find(self, ip: str, asked: Asked, user_agent: str) -> Found | None:
        """The row of the smallest network that the address is in; None if it is in none, or in one of people."""
        for row in self._rows_of(ip):
            if row.asked in ("", asked) and row.agent in ("", user_agent):
                return None if row.verdict == "person" else row
        return None

    def _look(self, ip: str) -> Sequence[Found]:
        try:
            address = ip_address(ip)
        except ValueError:
            return ()
        number = int(address)
        return tuple(row for shift, table in self._tables[address.version] for row in table.get(number >> shift, ()))


#: No network is known.
NOWHERE = Networks()


def parse(shipped: str, own: str) -> Networks:
    """What two files say, the operator's over the shipped one. ValueError with every fault, a line each."""
    faults: list[str] = []
    rows = _rows(own, faults)
    named = {row.name for row in rows}
    rows += [row for row in _rows(shipped, faults) if row.name not in named]
    if faults:
        raise ValueError("\n".join(faults))
    return Networks(rows)


def differences(before: Networks, after: Networks) -> list[str]:
    """What is new, gone or another, in words: a line for each name."""
    old, new = _by_name(before), _by_name(after)
    changes = []
    for name in sorted({*old, *new}):
        if old.get(name) != new.get(name):
            what = "is new" if name not in old else "is gone" if name not in new else "is another"
            changes.append(f"network {name} {what}")
    return changes


def _by_name(networks: Networks) -> Mapping[str, Sequence[Found]]:
    found: dict[str, list[Found]] = {}
    for row in networks.rows:
        found.setdefault(row.name, []).append(row)
    return found


def _rows(source: str, faults: list[str]) -> list[Found]:
    try:
        whole = Table(tomllib.loads(source), "", faults)
    except tomllib.TOMLDecodeError as error:
        faults.append(f"no TOML: {error}")
        return []
    rows = [_row(table) for table in whole.rows("network", "network")]
    whole.end()
    if len(rows) > MAX_ROWS:
        faults.append(f"more than {MAX_ROWS:,} networks")
    return rows


def _row(table: Table) -> Found:
    name = table.take("name", "", _name)
    if name:
        table.called(name)
    row = Found(
        name=name,
        verdict=table.take("verdict", "", one_of(*VERDICTS)),
        networks=table.take("networks", cast(tuple[_Network, ...], ()), _networks),
        asked=table.take("asked", "", one_of("open", "click")),
        agent=table.take("agent", "", text),
    )
    for key in ("name", "verdict", "networks"):
        if key not in table:
            table.fault(f"{key} is missing")
    table.end()
    return row


def _name(value: object) -> str:
    name = text(value)
    if len(name) > MAX_NAME_CHARS or not name.isascii() or not name.isprintable():
        raise ValueError(f"is at most {MAX_NAME_CHARS} characters of ASCII, not {shown(value)}")
    return name


def _networks(value: object) -> tuple[_Network, ...]:
    return tuple(_network(part) for part in texts(value))


def _network(part: str) -> _Network:
    try:
        network = ip_network(part)
    except ValueError as error:
        raise ValueError(f"has {part[:60]!r}, which is no network: {error}") from None
    if network.prefixlen == 0:
        raise ValueError(f"has {part!r}, which is everybody")
    return network
