"""Domain names that mail may be sent From, agreed by who takes them (API, console) and who sends: how one is written,
which ones are nobody's to have, and who stands above or below whom.

What names are public suffixes (`com`, `co.uk`, and private ones as `github.io`) is the Public Suffix List's to say, as
the library `publicsuffixlist` carries it.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import ip_address

from publicsuffixlist import PublicSuffixList

from shared.mail import addresses

#: RFC 1035 section 2.3.4 allows 253; a DKIM key's record stands at `est01234567._domainkey.` of the domain.
MAX_CHARS = 253 - len("est01234567._domainkey.")
#: A U-label is no longer than its A-label; what is mapped away comes on top.
MAX_TYPED_CHARS = 512
#: Never in the world's DNS (RFC 6761, RFC 6762, RFC 7686, RFC 9476, RFC 8375) or no mail domain (RFC 3172). `test` and
#: `example` may be had: nobody can show a record there, and who runs an installation for trying gives them.
RESERVED = frozenset({"localhost", "local", "invalid", "onion", "alt", "internal", "arpa"})

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*")
#: What inet_aton reads as a number: `10`, `0x0a`, `012`.
_NUMBER = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)")


class InvalidDomain(ValueError):
    """Not a name that mail may be sent From; the message says why."""


def normalise(domain: str) -> str:
    """The one way to write it: A-labels (IDNA 2008 after UTS 46's mapping, so that full-width letters, ideographic dots
    and capitals are what they look like), without a dot at the end. InvalidDomain if it is not a domain name (RFC 1035
    section 2.3.1, RFC 1123 section 2.1).

    A name that only looks like another one (Cyrillic `а`) is another one: its owner is who shows a record there."""
    name = domain.strip()
    if len(name) > MAX_TYPED_CHARS:
        raise InvalidDomain(f"not a domain name: {domain!r:.100}")
    if not name.isascii() or re.search(r"(?:\A|\.)xn--", name, re.IGNORECASE):
        try:
            name = addresses.a_labels(name)
        except addresses.InvalidAddress:
            raise InvalidDomain(f"not a domain name: {domain!r:.100}") from None
    name = name.lower().removesuffix(".")
    if not _DOMAIN.fullmatch(name):
        raise InvalidDomain(f"not a domain name: {domain!r:.100}")
    return name


def normalise_return_path(domain: str, sending: str, ours: Iterable[str]) -> str:
    """The name of return paths for mail From `sending`, normalised. InvalidDomain if it is not below it, or not of the
    same organisation, since SPF would not align then (RFC 9989 section 4.4); or is `sending` itself, whose mail host is
    somebody's; or is at or below a host of ours."""
    name = normalise(domain)
    if name == sending:
        raise InvalidDomain(f"{name} gets mail already: return paths need a name of their own, as bounces.{name}")
    if at_or_below(name, ours):
        raise InvalidDomain(f"{name} is at or below a host of this installation")
    if organisation(name) != organisation(sending) or name == organisation(name):
        raise InvalidDomain(f"{name} is not below {organisation(sending)}: SPF would not align with {sending}")
    return name


def refuse_nobodys(name: str) -> None:
    """InvalidDomain for a normalised name that nobody can have: an address, a single label, a public suffix."""
    if _NUMBER.fullmatch(name.rpartition(".")[2]) or _is_address(name):
        raise InvalidDomain(f"{name} is an address, not a domain")
    if "." not in name:
        raise InvalidDomain(f"{name} is a single label, not a domain of somebody's")
    if len(name) > MAX_CHARS:
        raise InvalidDomain(f"{name:.60}… is too long: the names of its DKIM records would have over 253 characters")
    if _suffixes().is_public(name):
        raise InvalidDomain(f"{name} is a public suffix: domains below it are different people's")


def refuse_reserved(name: str) -> None:
    """InvalidDomain for a name that the world's DNS does not have, so that nobody can show a record there."""
    last = name.rpartition(".")[2]
    if last in RESERVED:
        raise InvalidDomain(f"{name} is a reserved name: the world's DNS has no mail domain below .{last}")


def organisation(name: str) -> str:
    """The registered domain that the name is below, or itself: all names of one organisation share it."""
    return str(_suffixes().privatesuffix(name) or name)


def is_below(name: str, above: str) -> bool:
    return name.endswith(f".{above}")


def is_kin(name: str, other: str) -> bool:
    """The same, or one above the other."""
    return name == other or is_below(name, other) or is_below(other, name)


def at_or_below(name: str, others: Iterable[str]) -> str | None:
    return next((other for other in others if name == other or is_below(name, other)), None)


def above(name: str, others: Iterable[str]) -> str | None:
    return next((other for other in others if is_below(other, name)), None)


def hosts(*names: str) -> tuple[str, ...]:
    """Those that are domain names of several labels: an address or `localhost` has neither parent nor child."""
    found = []
    for name in names:
        try:
            normal = normalise(name)
        except InvalidDomain:
            continue
        if "." in normal and not _is_address(normal):
            found.append(normal)
    return tuple(dict.fromkeys(found))


@lru_cache(1)
def _suffixes() -> PublicSuffixList:
    """Read when first needed: it takes some tens of ms, and a relay never needs it."""
    return PublicSuffixList()


def _is_address(name: str) -> bool:
    try:
        ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
