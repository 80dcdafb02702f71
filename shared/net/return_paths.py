"""Whether a name is good for return paths: mail to it comes to us, and it lets those send who send for us.

The one question before a mail has such a return path (the relay) and when its owner has DNS looked at (`check` of a
sending domain).
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from shared.mail import spf
from shared.mail.dkim_rotation import Check, Dns
from shared.net import dns
from shared.net.dns import DnsUnavailable, MailHosts, NoDomain, NoMail


class Resolver(Protocol):
    """`dns.Resolver`."""

    async def mail_hosts(self, domain: str) -> MailHosts | NoMail | NoDomain | DnsUnavailable: ...

    async def addresses(self, host: str) -> list[str] | DnsUnavailable: ...

    async def texts(self, name: str) -> list[str] | DnsUnavailable: ...


class Judged(NamedTuple):
    dns: Dns
    detail: str = ""


async def leads_to(name: str, ours: str, resolver: Resolver) -> Judged:
    """Whether mail to `name` goes to the hosts of `ours` alone: by an alias, by MX records that name them or `ours`
    itself, or by what has no other addresses than they."""
    our_hosts = await resolver.mail_hosts(ours)
    hosts = await resolver.mail_hosts(name)
    for found in (our_hosts, hosts):
        if isinstance(found, DnsUnavailable):
            return Judged("unavailable", f"DNS does not answer for {found.name}")
    if not isinstance(our_hosts, MailHosts):
        return Judged("missing", f"{ours} of this installation has no mail host itself: tell its operator")
    if not isinstance(hosts, MailHosts):
        return Judged("missing", f"no mail host is there; publish the alias, or MX 10 {ours}.")
    ours_are = {*our_hosts.names, ours.lower().rstrip(".")}
    strange = [host for host in hosts.names if host not in ours_are]
    if not strange:
        return Judged("published")
    our_addresses: set[str] = set()
    for host in our_hosts.names:
        our_addresses.update(await _addresses(host, resolver) or ())
    for host in strange:
        addresses = await _addresses(host, resolver)
        if addresses is None:
            return Judged("unavailable", f"DNS does not answer for {host}")
        if not addresses or not our_addresses.issuperset(addresses):
            return Judged("differs", f"its mail goes to {host}, which is none of ours; publish the alias alone")
    return Judged("published")


async def lets_send(name: str, ours: str, resolver: Resolver) -> Judged:
    """Whether the SPF record of `name` passes every network that the record of `ours` does."""
    zone = _Zone(resolver)
    networks, read = await spf.networks(ours, zone)
    if read.result == "temperror":
        return Judged("unavailable", read.why)
    if not networks:
        return Judged("missing", f"of this installation itself ({read.why}): tell its operator")
    for network in networks:
        for address in {network[0], network[-1]}:
            found = await spf.check(str(address), name, zone)
            if found.result == "temperror":
                return Judged("unavailable", found.why)
            if found.result in ("none", "permerror"):
                return Judged("missing" if found.result == "none" else "differs", found.why)
            if found.result != "pass":
                return Judged("differs", f"{address}, which sends for {ours}, has {found.result} {found.why}")
    return Judged("published")


class ReturnPathChecks:
    """`ask` gives a resolver that remembers nothing, to be closed; `now_ms` is when."""

    def __init__(self, ours: str, ask: Callable[[], dns.Resolver], now_ms: Callable[[], int]) -> None:
        self._ours = ours
        self._ask = ask
        self._now_ms = now_ms

    async def __call__(self, name: str) -> tuple[Check, Check]:
        """Whether mail to the name comes to us, and whether it lets us send."""
        resolver = self._ask()
        try:
            judged: Sequence[Judged] = [
                await leads_to(name, self._ours, resolver),
                await lets_send(name, self._ours, resolver),
            ]
        finally:
            await resolver.close()
        returns, sends = (Check(one.dns, one.detail, self._now_ms()) for one in judged)
        return returns, sends


async def _addresses(host: str, resolver: Resolver) -> list[str] | None:
    found = await resolver.addresses(host)
    return None if isinstance(found, DnsUnavailable) else found


class _Zone:
    """`spf.Zone`, of a resolver."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver

    async def texts(self, name: str) -> Sequence[str] | None:
        found = await self._resolver.texts(name)
        return None if isinstance(found, DnsUnavailable) else found

    async def addresses(self, name: str) -> Sequence[str] | None:
        return await _addresses(name, self._resolver)

    async def mail_hosts(self, name: str) -> Sequence[str] | None:
        match await self._resolver.mail_hosts(name):
            case MailHosts() as found:
                return found.names
            case DnsUnavailable():
                return None
            case _:
                return []
