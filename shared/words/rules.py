"""Rules of who must not be mailed: everybody of a domain, one name at any domain, one address. Pure.

A star stands for a whole part, so that what concerns an address is looked up and never tried rule by rule:

    contact@*              that name at any domain
    *@exemple.fr           everybody of that domain
    *@*.exemple.fr         everybody of any domain below it, and not of itself
    ana@exemple.fr         that address
    +33612345678           that number (E.164), by SMS

A rule holds for e-mail, for SMS or for both; for everything, or for marketing alone (bulk). Its pattern is compared as
addresses are: all in lower case, the domain in A-labels.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple, get_args

import msgspec

from shared.mail import addresses

#: What a rule can be for.
Channel = Literal["email", "sms"]
CHANNELS: tuple[Channel, ...] = get_args(Channel)
#: And how much of it: all mail, or bulk alone.
Scope = Literal["all", "marketing"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
#: The stream that is marketing.
MARKETING_STREAM = "bulk"

#: Why somebody is not mailed whom a rule of the tenant's concerns, and whom one of the operator's does.
TENANTS_REASON = "rule"
OPERATORS_REASON = "compliance"

#: As long as an address, and a little: the star of a whole part is shorter than any.
MAX_PATTERN_CHARS = 256
MAX_NOTE_CHARS = 200

_NUMBER = re.compile(r"\+[1-9][0-9]{6,14}")
_BIT = {(channel, scope): 1 << at for at, (channel, scope) in enumerate((c, s) for c in CHANNELS for s in SCOPES)}
#: What is asked of a rule: marketing is stopped by either scope, everything else by `all` alone.
_ASKED: Mapping[tuple[str, bool], int] = {
    **{(channel, False): _BIT[channel, "all"] for channel in CHANNELS},
    **{(channel, True): _BIT[channel, "all"] | _BIT[channel, "marketing"] for channel in CHANNELS},
}


class InvalidRule(ValueError):
    """Not a rule. The message says why, for people, and repeats none of it."""


class Rule(msgspec.Struct, frozen=True, array_like=True):
    """What is stored of a rule under its pattern; scripts read `since_ms`, when it was made. `channels` and `scope` say
    what it stops, `note` what somebody wrote beside it. No field is nil."""

    since_ms: int
    channels: tuple[Channel, ...] = ("email",)
    scope: Scope = "all"
    note: str = ""


class Named(NamedTuple):
    """A rule and its pattern."""

    pattern: str
    rule: Rule


def pattern_of(text: str) -> str:
    """The one form of a pattern. InvalidRule says what is wrong with it."""
    text = text.strip(addresses.AROUND)
    if len(text) > MAX_PATTERN_CHARS:
        raise InvalidRule(f"it is longer than {MAX_PATTERN_CHARS} characters")
    if text.startswith("+") and "@" not in text:
        return _number(text)
    local, at, domain = text.rpartition("@")
    if not at:
        raise InvalidRule("it has no @: everybody of a domain is `*@` and the domain")
    if not local:
        raise InvalidRule("it has nothing before the @: everybody of a domain is `*@` and the domain")
    if local == "*" and domain in ("*", "*.*"):
        raise InvalidRule("it would stop everybody")
    if local == "*":
        return f"*@{_domains(domain)}"
    if domain == "*":
        return f"{_part('local', f'{_starless(local)}@a.example')}@*"
    if "*" in domain:
        raise InvalidRule("a star behind the @ stands for any domain, or in `*@*.` for those below one")
    return _key(f"{_starless(local)}@{domain}")


def _number(text: str) -> str:
    number = re.sub(r"[ .()\u00a0\u202f-]", "", text)
    if not _NUMBER.fullmatch(number):
        raise InvalidRule("a telephone number is + and 7 to 15 digits, the first of them not 0 (E.164)")
    return number


def _domains(domain: str) -> str:
    below = domain.startswith("*.")
    name = domain[2:] if below else domain
    if "*" in name:
        raise InvalidRule("a star behind the @ stands for any domain, or in `*@*.` for those below one")
    if below and name.startswith("["):
        raise InvalidRule("no domain is below an IP address")
    return ("*." if below else "") + _part("domain", f"a@{name}")


def _starless(local: str) -> str:
    if "*" in local:
        raise InvalidRule("a star stands for all that is before the @, and for no part of it")
    return local


def _part(which: Literal["local", "domain"], address: str) -> str:
    local, _, domain = _key(address).rpartition("@")
    return local if which == "local" else domain


def _key(address: str) -> str:
    try:
        return addresses.parse(address).key
    except addresses.InvalidAddress as fault:
        raise InvalidRule(str(fault)) from None


def channels_fault(pattern: str, channels: Sequence[str]) -> str:
    """What is wrong with a rule of this pattern for these channels; "" if nothing is."""
    if not channels:
        return "a rule is for at least one channel"
    if pattern.startswith("+") and "@" not in pattern and set(channels) != {"sms"}:
        return "a rule of a telephone number is for sms alone"
    return ""


class RuleSet:
    """The rules of one tenant, for looking up: what an address costs does not grow with their number. They are apart by
    what of an address they look at, and no text is put together for one that none concerns."""

    __slots__ = ("_below", "_domains", "_locals", "_others", "_size")

    def __init__(self, rules: Iterable[Named]) -> None:
        self._others: dict[str, int] = {}
        self._locals: dict[str, int] = {}
        self._domains: dict[str, int] = {}
        self._below: dict[str, int] = {}
        self._size = 0
        for pattern, rule in rules:
            self._size += 1
            local, _, domain = pattern.rpartition("@")
            bits = sum(_BIT[channel, rule.scope] for channel in rule.channels)
            if domain == "*":
                self._locals[local] = bits
            elif local == "*" and domain.startswith("*."):
                self._below[domain[1:]] = bits
            elif local == "*":
                self._domains[domain] = bits
            else:
                self._others[pattern] = bits

    def __len__(self) -> int:
        return self._size

    def match(self, channel: str, stream: str, address: str) -> str | None:
        """The pattern of a rule, the narrowest first, that stops this stream for the normalised address by this
        channel; None if there is none."""
        asked = _ASKED.get((channel, stream == MARKETING_STREAM), 0)
        if self._others.get(address, 0) & asked:
            return address
        local, at, domain = address.rpartition("@")
        if not at:
            return None
        if self._locals.get(local, 0) & asked:
            return f"{local}@*"
        if self._domains.get(domain, 0) & asked:
            return f"*@{domain}"
        return self._match_below(asked, domain) if self._below and not domain.startswith("[") else None

    def _match_below(self, asked: int, domain: str) -> str | None:
        dot = domain.find(".")
        while dot >= 0:
            if self._below.get(domain[dot:], 0) & asked:
                return f"*@*{domain[dot:]}"
            dot = domain.find(".", dot + 1)
        return None


def candidates(address: str) -> Iterator[str]:
    """Every pattern that concerns a normalised address, the narrowest first: itself, its name, its domain, and one for
    each domain that it is below."""
    yield address
    local, at, domain = address.rpartition("@")
    if not at:
        return
    yield f"{local}@*"
    yield f"*@{domain}"
    if domain.startswith("["):
        return
    dot = domain.find(".")
    while dot >= 0:
        yield f"*@*{domain[dot:]}"
        dot = domain.find(".", dot + 1)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Rule)


def encode(rule: Rule) -> bytes:
    return _encoder.encode(rule)


def decode(stored: bytes) -> Rule:
    """ValueError if it is not a rule."""
    return _decoder.decode(stored)
