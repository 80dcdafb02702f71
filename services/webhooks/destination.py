"""Where a request may go: the URL of an endpoint as one thing that nobody reads in two ways, and which addresses may be
dialled for it. Pure.

Whoever names a URL must not reach inside. So a URL is taken in its plain form alone: no user, no fragment, no
backslash, nothing beyond ASCII; a host is a name, or an address in its one canonical form (`127.1`, `0x7f.1` and
`2130706433` are names to some and addresses to others, and here they are neither). What a name leads to is judged when
it has been resolved, at each attempt, and that very address is dialled (`sender`).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from shared.net.inside import is_inside

MAX_URL_CHARS = 2_000

_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<target>(?:/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*)?(?:\?[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*)?)"
)
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?")
#: The last label of an address, as some read one (WHATWG URL, "ends in a number").
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PORTS = {"https": 443, "http": 80}


class Refused(ValueError):
    """Nothing is sent there; the text says why."""


@dataclass(frozen=True, slots=True)
class Policy:
    """`networks` are inside, and allowed; outside of them a port is one of `ports` (none: any)."""

    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    ports: frozenset[int] = frozenset()
    plain_http: bool = False

    def is_allowed(self, address: str) -> bool:
        """Whether the operator means this address."""
        found = ip_address(address)
        return any(found in network for network in self.networks if network.version == found.version)


@dataclass(frozen=True, slots=True)
class Destination:
    """`host` is in lower case; `literal`: it is an address. `target` is what the request line has."""

    scheme: str
    host: str
    port: int
    target: str
    literal: bool

    @property
    def authority(self) -> str:
        """What the header Host has."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


def parse(url: str, policy: Policy) -> Destination:
    """Refused, also of an address in it that may not be dialled."""
    if len(url) > MAX_URL_CHARS:
        raise Refused(f"a URL has at most {MAX_URL_CHARS} characters")
    if "@" in url.partition("//")[2].partition("/")[0]:
        raise Refused("a URL with a user or password is not taken: it would be kept and logged")
    found = _URL.fullmatch(url)
    if found is None:
        raise Refused(
            "not a plain URL: https://host[:port]/path?query of printable ASCII, percent-encoded, no fragment"
        )
    scheme, host = found["scheme"], found["host"].lower()
    if scheme == "http" and not policy.plain_http:
        raise Refused("only https is taken here")
    port = int(found["port"]) if found["port"] is not None else _PORTS[scheme]
    if not 0 < port < 65_536:
        raise Refused(f"there is no port {port}")
    target = found["target"] or "/"
    target = target if target.startswith("/") else f"/{target}"
    literal = _literal(host)
    destination = Destination(scheme, literal or _name(host), port, target, literal is not None)
    if literal is not None:
        usable(destination, [literal], policy)
    elif not policy.networks:
        _check_port(destination, policy)
    return destination


def usable(destination: Destination, addresses: Sequence[str], policy: Policy) -> list[str]:
    """Those that may be dialled, of what a host was resolved to just now. Refused: none."""
    if not addresses:
        raise Refused(f"{destination.host} has no address")
    allowed = [address for address in addresses if policy.is_allowed(address)]
    outside = [address for address in addresses if not is_inside(address)]
    if policy.ports and destination.port not in policy.ports:
        if not allowed and outside:
            _check_port(destination, policy)
        outside = []
    found = [address for address in addresses if address in allowed or address in outside]
    if not found:
        raise Refused(f"{destination.host} has no address outside: private, local and reserved ones are not asked")
    return found


def _check_port(destination: Destination, policy: Policy) -> None:
    if policy.ports and destination.port not in policy.ports:
        ports = ", ".join(map(str, sorted(policy.ports)))
        raise Refused(f"port {destination.port} is not asked, only {ports}")


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
