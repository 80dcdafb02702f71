"""Whether a domain lets an address send in its name, and whom it lets (SPF, RFC 7208), within the bounds that receivers
keep to. What DNS says comes as answers of a `Zone`.

A receiver gives up (permerror) at two records, at an eleventh mechanism that asks DNS (section 4.6.4), at a third one
whose answer is empty, and at a record that it cannot read; mail is then as good as unauthorised. Macros and `ptr` say
something of a mail under way that nobody knows here: such a mechanism counts, and matches nothing.
"""

import re
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Literal, NamedTuple, Protocol

MAX_LOOKUPS = 10
MAX_VOID_LOOKUPS = 2
#: Hosts of an `mx` (section 4.6.4).
MAX_MX_HOSTS = 10
#: Networks of a domain that are told.
MAX_NETWORKS = 50

Result = Literal["pass", "fail", "softfail", "neutral", "none", "permerror", "temperror"]
Network = IPv4Network | IPv6Network

_QUALIFIERS: dict[str, Result] = {"+": "pass", "-": "fail", "~": "softfail", "?": "neutral"}
_IS_SPF = re.compile(r"v=spf1(?: |\Z)", re.IGNORECASE)
_TERM = re.compile(
    r"([+?~-]?)(all|include|a|mx|ptr|ip4|ip6|exists)(?::([^/\s]\S*?))?((?:/\d{1,3}){0,1}(?://\d{1,3})?)", re.I
)
_MODIFIER = re.compile(r"([a-z][a-z0-9_.-]*)=(\S*)", re.I)


class Zone(Protocol):
    """DNS; each answer is empty where there is nothing, and None where nobody could tell."""

    async def texts(self, name: str) -> Sequence[str] | None: ...

    async def addresses(self, name: str) -> Sequence[str] | None: ...

    async def mail_hosts(self, name: str) -> Sequence[str] | None: ...


class Found(NamedTuple):
    """What a domain says of an address, and why in words."""

    result: Result
    why: str = ""


class _Stop(Exception):
    """The evaluation is over, with permerror or temperror."""

    def __init__(self, result: Result, why: str) -> None:
        super().__init__(why)
        self.found = Found(result, why)


class _Term(NamedTuple):
    result: Result
    name: str
    value: str
    prefixes: str


class _Record(NamedTuple):
    terms: tuple[_Term, ...]
    redirect: str


class _Count:
    """What one evaluation has asked so far."""

    def __init__(self) -> None:
        self.lookups = self.void = 0

    def one_more(self, name: str) -> None:
        self.lookups += 1
        if self.lookups > MAX_LOOKUPS:
            raise _Stop("permerror", f"it asks DNS more than {MAX_LOOKUPS} times (at {name})")

    def empty(self, name: str) -> None:
        self.void += 1
        if self.void > MAX_VOID_LOOKUPS:
            raise _Stop("permerror", f"more than {MAX_VOID_LOOKUPS} of its names lead nowhere ({name})")


async def check(address: str, domain: str, zone: Zone) -> Found:
    """What the domain says of mail from that address (`check_host`, section 4)."""
    try:
        return await _check(ip_network(address), domain, zone, _Count())
    except _Stop as stop:
        return stop.found


async def networks(domain: str, zone: Zone) -> tuple[list[Network], Found]:
    """Those that the domain lets send, and whether its record could be read whole (`pass`)."""
    found: list[Network] = []
    try:
        await _gather(domain, zone, _Count(), found)
    except _Stop as stop:
        return [], stop.found
    return found[:MAX_NETWORKS], Found("pass" if found else "none", "" if found else f"{domain} lets nobody send")


async def _read(domain: str, zone: Zone) -> _Record | None:
    texts = await zone.texts(domain)
    if texts is None:
        raise _Stop("temperror", f"DNS does not answer for {domain}")
    records = [text for text in texts if _IS_SPF.match(text)]
    if len(records) > 1:
        raise _Stop("permerror", f"{domain} has {len(records)} SPF records; leave one")
    return _parsed(records[0], domain) if records else None


def _parsed(record: str, domain: str) -> _Record:
    terms: list[_Term] = []
    redirect = ""
    for word in record.split()[1:]:
        if term := _TERM.fullmatch(word):
            qualifier, name, value, prefixes = term.groups()
            needs = name.lower() in ("include", "exists", "ip4", "ip6")
            if (needs and not value) or (name.lower() == "all" and (value or prefixes)):
                raise _Stop("permerror", f"the SPF record of {domain} cannot be read at {word[:60]!r}")
            terms.append(_Term(_QUALIFIERS[qualifier or "+"], name.lower(), value or "", prefixes))
        elif modifier := _MODIFIER.fullmatch(word):
            if modifier[1].lower() == "redirect":
                if redirect:
                    raise _Stop("permerror", f"the SPF record of {domain} has two redirects")
                redirect = modifier[2]
        else:
            raise _Stop("permerror", f"the SPF record of {domain} cannot be read at {word[:60]!r}")
    return _Record(tuple(terms), redirect)


async def _check(address: Network, domain: str, zone: Zone, count: _Count) -> Found:
    record = await _read(domain, zone)
    if record is None:
        return Found("none", f"{domain} has no SPF record")
    for term in record.terms:
        if term.name == "include":
            count.one_more(term.value)
            if _is_macro(term.value):
                continue
            inside = await _check(address, term.value, zone, count)
            if inside.result == "none":
                raise _Stop("permerror", f"{term.value}, which {domain} includes, has no SPF record")
            if inside.result == "pass":
                return Found(term.result, f"by include:{term.value}")
        elif term.name == "all":
            return Found(term.result, f"by the end of the record of {domain}")
        elif any(_covers(one, address) for one in await _named(term, domain, zone, count)):
            return Found(term.result, f"by {term.name} of {domain}")
    if record.redirect and not _is_macro(record.redirect):
        count.one_more(record.redirect)
        found = await _check(address, record.redirect, zone, count)
        return Found("permerror", f"{record.redirect} has no SPF record") if found.result == "none" else found
    return Found("neutral", f"the record of {domain} says nothing of it")


async def _gather(domain: str, zone: Zone, count: _Count, found: list[Network]) -> None:
    record = await _read(domain, zone)
    if record is None:
        return
    for term in record.terms:
        if term.name == "all":
            return
        if term.result != "pass":
            continue
        if term.name == "include":
            count.one_more(term.value)
            if not _is_macro(term.value):
                await _gather(term.value, zone, count, found)
        else:
            found += await _named(term, domain, zone, count)
    if record.redirect and not _is_macro(record.redirect):
        count.one_more(record.redirect)
        await _gather(record.redirect, zone, count, found)


async def _named(term: _Term, domain: str, zone: Zone, count: _Count) -> list[Network]:
    """The networks of a mechanism that is neither `all` nor `include`."""
    if term.name in ("ip4", "ip6"):
        try:
            network = ip_network(term.value + term.prefixes, strict=False)
        except ValueError:
            raise _Stop("permerror", f"{term.name}:{term.value[:60]}{term.prefixes} is no network") from None
        if (network.version == 4) is not (term.name == "ip4"):
            raise _Stop("permerror", f"{term.value[:60]} is not of {term.name}")
        return [network]
    name = term.value or domain
    count.one_more(name)
    if term.name in ("ptr", "exists") or _is_macro(name):
        return []
    hosts: Sequence[str] | None = [name]
    if term.name == "mx":
        hosts = await zone.mail_hosts(name)
        if hosts is not None and len(hosts) > MAX_MX_HOSTS:
            raise _Stop("permerror", f"mx of {name} are more than {MAX_MX_HOSTS} hosts")
    found: list[Network] = []
    for host in hosts or []:
        addresses = await zone.addresses(host)
        if addresses is None:
            hosts = None
            break
        found += [_widened(one, term.prefixes) for one in addresses]
    if hosts is None:
        raise _Stop("temperror", f"DNS does not answer for {name}")
    if not found:
        count.empty(name)
    return found


def _widened(address: str, prefixes: str) -> Network:
    """`/24//64`: of IPv4 the first, of IPv6 the second."""
    four, _, six = prefixes.partition("//")
    bits = four.removeprefix("/") if ip_address(address).version == 4 else six
    try:
        return ip_network(f"{address}/{bits}" if bits else address, strict=False)
    except ValueError:
        raise _Stop("permerror", f"{prefixes} is no length of a network") from None


def _covers(network: Network, address: Network) -> bool:
    if isinstance(network, IPv4Network):
        return isinstance(address, IPv4Network) and address.subnet_of(network)
    return isinstance(address, IPv6Network) and address.subnet_of(network)


def _is_macro(text: str) -> bool:
    return "%" in text
