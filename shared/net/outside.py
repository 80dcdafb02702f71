"""Where a tenant may make this machine connect: a host that is read in one way alone, and which of the addresses that
it leads to may be dialled. Pure.

Whoever names a host must not reach inside. So a host is a name, or an address in its one canonical form (`127.1`,
`0x7f.1` and `2130706433` are names to some and addresses to others, and here they are neither). What a name leads to is
judged when it has been resolved, at each attempt, and that very address is dialled.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from shared.net.inside import is_inside

#: What a host is made of, in a URL.
HOST = r"\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253}"
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?")
#: The last label of an address, as some read one (WHATWG URL, "ends in a number").
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")


class Refused(ValueError):
    """Nothing is sent there; the text says why."""


@dataclass(frozen=True, slots=True)
class Policy:
    """`networks` are inside, and allowed; outside of them a port is one of `ports` (none: any)."""

    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    ports: frozenset[int] = frozenset()
    plain_http: bool = False

    @classmethod
    def of(cls, networks: str, ports: str, *, plain_http: bool = False) -> "Policy":
        """As settings name them, with commas between."""
        found = tuple(ip_network(part.strip(), strict=False) for part in networks.split(",") if part.strip())
        return cls(found, frozenset(int(port) for port in ports.split(",") if port), plain_http)

    def is_allowed(self, address: str) -> bool:
        """Whether the operator means this address."""
        found = ip_address(address)
        return any(found in network for network in self.networks if network.version == found.version)


@dataclass(frozen=True, slots=True)
class Host:
    """In lower case; `literal`: it is an address."""

    name: str
    literal: bool


def host_of(text: str, port: int, policy: Policy) -> Host:
    """What a URL has for its host. Refused, also of an address that may not be dialled, and of a port that nobody is
    asked at."""
    if not 0 < port < 65_536:
        raise Refused(f"there is no port {port}")
    host = text.lower()
    literal = _literal(host)
    if literal is not None:
        usable(literal, port, [literal], policy)
        return Host(literal, True)
    name = _name(host)
    if not policy.networks:
        _check_port(port, policy)
    return Host(name, False)


def usable(host: str, port: int, addresses: Sequence[str], policy: Policy) -> list[str]:
    """Those that may be dialled, of what a host was resolved to just now. Refused: none."""
    if not addresses:
        raise Refused(f"{host} has no address")
    allowed = [address for address in addresses if policy.is_allowed(address)]
    outside = [address for address in addresses if not is_inside(address)]
    if policy.ports and port not in policy.ports:
        if not allowed and outside:
            _check_port(port, policy)
        outside = []
    found = [address for address in addresses if address in allowed or address in outside]
    if not found:
        raise Refused(f"{host} has no address outside: private, local and reserved ones are not asked")
    return found


def _check_port(port: int, policy: Policy) -> None:
    if policy.ports and port not in policy.ports:
        ports = ", ".join(map(str, sorted(policy.ports)))
        raise Refused(f"port {port} is not asked, only {ports}")


def _literal(host: str) -> str | None:
    """The address that the host is, if it is one; IPv4 in its canonical form alone. Refused: it only looks like one."""
    if host.startswith("["):
        try:
            return str(IPv6Address(host[1:-1]))
        except ValueError:
            raise Refused("the address in brackets is none") from None
    if not _NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]):
        return None
    try:
        return str(IPv4Address(host))
    except ValueError:
        raise Refused("an address of IPv4 is four decimal numbers with dots between, without leading zeros") from None


def _name(host: str) -> str:
    name = host.removesuffix(".")
    if not all(_LABEL.fullmatch(label) for label in name.split(".")):
        raise Refused("the host is no name: labels of letters, digits and hyphens")
    return name
