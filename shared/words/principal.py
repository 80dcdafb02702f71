"""Who calls the API, and what the key that was shown allows. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address

from shared.words.errors import Fault, Problem

#: What a key may do. A route names the one that it needs (`shared.http.api.Route`).
SCOPES = ("send", "read", "suppress", "admin", "inbound", "operator")


#: And a key of the sandbox: what others are for changes what is real.
SANDBOX_SCOPES = ("send", "read")


@dataclass(frozen=True)
class Principal:
    """Who calls: the tenant of the API key and what the key may do."""

    tenant: str
    scopes: frozenset[str]
    #: Quotas of the tenant's own (`shared.words.quotas`), by name; the settings have the others.
    quotas: Mapping[str, int] = field(default_factory=dict)
    #: The id of the key, by which an operator's actions are told apart.
    key: str = ""
    #: From where it may be used; () from everywhere.
    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    #: The sending domains that its jobs may write From; () any of the tenant's.
    domains: tuple[str, ...] = ()
    #: Its time is over, and so it has no scope either.
    is_over: bool = False
    #: It has networks, domains or an end: what it made would not be bound so.
    is_bound: bool = False
    #: What it sends goes to the mailbox, and to no host of the world.
    is_sandbox: bool = False
    #: Of which tenant it is a sub-account, and that one's own quotas, which bound what all of them use together; "": of
    #: none.
    parent: str = ""
    parent_quotas: Mapping[str, int] = field(default_factory=dict)


def refusal(principal: Principal, address: str) -> Problem | None:
    """Why the key may not be used now from that address ("" where none is known); None if it may."""
    if principal.is_over:
        return Problem("key_expired", "the time of the key is over", [Fault("Authorization", "the key has expired")])
    if principal.networks and not _is_in(address, principal.networks):
        what = f"the key may be used from its networks alone, and {address or 'your address'} is in none of them"
        return Problem("network_not_allowed", what, [Fault("Authorization", what)])
    return None


def refused_to_sandbox(principal: Principal, what: str) -> Problem | None:
    """Why the key may not do that, where it is of the sandbox; None if it is not."""
    return Problem("sandbox_key", f"the key is of the sandbox: {what}") if principal.is_sandbox else None


def refused_domain(principal: Principal, domain: str) -> Problem | None:
    """Why the key may not send From that domain; None if it may."""
    if not principal.domains or domain in principal.domains:
        return None
    what = f"the key may not send from {domain}; it may from {', '.join(principal.domains)}"
    return Problem("domain_not_allowed", what, [Fault("$.from", what)])


def _is_in(address: str, networks: tuple[IPv4Network | IPv6Network, ...]) -> bool:
    try:
        found = ip_address(address)
    except ValueError:
        return False
    return any(found.version == network.version and found in network for network in networks)
