"""Where the mail of a domain goes: the hosts to try, in order."""

from collections.abc import Callable, Collection, Sequence
from ipaddress import ip_address
from itertools import groupby
from random import Random
from typing import Protocol

from services.relay.words.hop import Hop, NoRoute
from shared.net import dns
from shared.words.sites import FixedRoute

#: Hosts looked at, and addresses tried, for one message. Postfix tries 5 addresses; a domain that publishes a hundred
#: dead ones would hold a connection for an hour.
MAX_HOSTS = 10
MAX_HOPS = 10


class Resolver(Protocol):
    async def mail_hosts(self, domain: str) -> dns.MailHosts | dns.NoMail | dns.NoDomain | dns.DnsUnavailable: ...
    async def addresses(self, host: str) -> list[str] | dns.DnsUnavailable: ...


class Routes:
    """The hops for a domain: those of the fixed route, or of its MX hosts on `mx_port`. `refused` tells the addresses
    that are not dialled whoever names them, and `own_names` are ours: mail for them loops (a fixed route is the
    operator's word). `versions` are those of IP that this machine has a route for: addresses of another are not
    tried."""

    def __init__(
        self,
        resolver: Resolver,
        fixed: FixedRoute | None,
        mx_port: int,
        chance: Random,
        versions: Collection[int] = (4, 6),
        *,
        refused: Callable[[str], bool],
        own_names: Collection[str] = (),
    ) -> None:
        self._resolver = resolver
        self._versions = versions
        self._fixed = (Hop(fixed.host, fixed.port),) if fixed is not None else None
        self._mx_port = mx_port
        self._chance = chance
        self._refused = refused
        self._own_names = frozenset(name.lower().rstrip(".") for name in own_names)

    async def hops(self, domain: str) -> Sequence[Hop] | NoRoute:
        """The lowest preference first, equal ones in an order of chance (RFC 5321 section 5.1), each with its addresses
        in the order of DNS."""
        if self._fixed is not None:
            return self._fixed
        match await self._resolver.mail_hosts(domain):
            case dns.NoMail():
                return NoRoute("no_mail_host", f"{domain} takes no mail (null MX, RFC 7505)", final=True)
            case dns.NoDomain(detail=detail):
                return NoRoute("no_mail_host", f"{domain}: {detail}", final=True)
            case dns.DnsUnavailable(detail=detail):
                return NoRoute("dns_unavailable", f"{domain}: {detail}", final=False)
            case dns.MailHosts(hosts=hosts):
                return await self._addressed(domain, hosts)

    async def _addressed(self, domain: str, hosts: Sequence[tuple[int, str]]) -> Sequence[Hop] | NoRoute:
        hops: list[Hop] = []
        unavailable = unreachable = inside = ""
        for host in shuffled(hosts, self._chance)[:MAX_HOSTS]:
            if host.lower().rstrip(".") in self._own_names:
                inside = inside or host
                continue
            match await self._resolver.addresses(host):
                case dns.DnsUnavailable(detail=detail):
                    unavailable = unavailable or f"{host}: {detail}"
                case addresses:
                    outside = [address for address in addresses if not self._refused(address)]
                    usable = [address for address in outside if self._has_route(address)]
                    hops += (Hop(host, self._mx_port, address) for address in usable)
                    if outside and not usable:
                        unreachable = unreachable or f"{host}: no route from here to {outside[0]}"
                    elif addresses and not outside:
                        inside = inside or host
        if hops:
            return hops[:MAX_HOPS]
        if unavailable:
            return NoRoute("dns_unavailable", unavailable, final=False)
        if unreachable:
            return NoRoute("connection_failed", unreachable, final=False)
        if inside:
            # As Postfix says it; which address it was, and whether anything listens there, is nobody's business.
            return NoRoute("loop", f"5.4.6 mail for {domain} loops back: {inside} is no host outside", final=True)
        return NoRoute("no_mail_host", f"no mail host of {domain} has an address", final=False)

    def _has_route(self, address: str) -> bool:
        return (6 if ":" in address else 4) in self._versions or ip_address(address).is_loopback


def shuffled(hosts: Sequence[tuple[int, str]], chance: Random) -> list[str]:
    """Names by preference; those of the same preference in an order of chance."""
    ordered: list[str] = []
    for _, group in groupby(sorted(hosts), key=lambda host: host[0]):
        names = [name for _, name in group]
        chance.shuffle(names)
        ordered += names
    return ordered
