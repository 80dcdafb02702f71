"""What each mailbox provider accepts of us: limits for its sites, and what its replies make us do. Pure.

Two files are read, the shipped `shaping.toml` and the operator's (`relay.shaping_file`), which is laid over it key by
key. In them:

    [default]                  every site, unless more is said below
    [route]                    `route:…`, a host that takes mail for everybody, because the operator says so
    [provider.gmail]           the sites of a named provider (shared/words/sites.py)
    [site."mx.example.net"]    one site, by its name
    [source.a1]                one of our addresses, over all sites; `[source.default]` is for those not named
    [tenant.acme]              one tenant, over all sites; `[tenant.default]` is for those not named
    [[rule]]                   a reply, and what follows from it

**Rules.** The site's come before the provider's, and these before the general ones; within each, the operator's before
the shipped, from the top; the first that matches wins. To the host of a fixed route (`route:…`) only those apply that
name it. `match` is a regular expression over the reply as `plain` leaves it: one line with its codes, lower case,
without accents, addresses as `<>`. Every rule carries an `example` that it must match and a `but_not` that it must
leave alone; they are tried whenever a file is read.

What a rule may do (`action`), for a time (`for`):

    slow_down         the pace of this source at this site is cut; it comes back by itself
    one_connection    this source keeps one connection to this site
    rest_source       this source sends nothing to this site; others of its pool go on
    suspend           nobody sends anything to this site
    defer_recipient   only this message waits, that long at least: what is said is about its recipient or its sender
    none              nothing; it keeps a more general rule from matching

**About us or about the recipient.** A reply about our address, our pace or a block list is never a bounce of the
recipient. With `defer = true` a refusal for good (5xx) is deferred all the same: by another address, or when the list
has let go of ours, the same message may pass. Without it the refusal is final, and of kind `block`: the content or the
sender's domain was refused, which the next attempt would not change, or the recipient's own administrator said no,
which is not ours to get around.

Sites of hosting providers and filters (microsoft365, mimecast, ovh …) serve thousands of customers. What one of these
set up must never slow or rest the whole site: such replies have a rule with `none` or `defer_recipient`.
"""

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal, get_args

from services.relay.words.reply import Reply, Stage
from shared.process.tables import (
    Table,
    flag,
    one_of,
    shown,
    some_of,
    span_s,
    text,
    texts,
    whole,
)
from shared.words import patterns
from shared.words.patterns import Patterns
from shared.words.rates import Rate, parse_rate
from shared.words.reply_text import plain
from shared.words.sites import PROVIDERS

Action = Literal["slow_down", "one_connection", "rest_source", "suspend", "defer_recipient", "none"]
TlsLevel = Literal["never", "opportunistic", "required"]

#: Actions that last, and so need `for`; the pace after `slow_down` comes back by itself.
_TIMED = ("one_connection", "rest_source", "suspend", "defer_recipient")
#: Actions that say that the reply is about us, not about the recipient.
_ABOUT_US = ("slow_down", "one_connection", "rest_source", "suspend")
#: Characters of a reply that a rule sees: it is said in the first lines, and its length is the sender's choice.
MAX_REPLY_CHARS = 1_000
#: Replies whose rule is remembered. A provider that refuses says the same thing a thousand times; each entry is a few
#: hundred bytes.
REMEMBERED = 8_192
MAX_CONNECTIONS = 100_000
MAX_MESSAGES_PER_CONNECTION = 1_000_000

_PROVIDERS = sorted(provider.name for provider in PROVIDERS)
_STAGES = get_args(Stage)
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
#: A reply code or its beginning: `421`, `45`, `5`.
_CODES = re.compile(r"[45][0-9]{0,2}")


@dataclass(frozen=True, slots=True)
class Shape:
    """What a site accepts. `connections` and `rates` are of all sources together, `source_…` of each, because providers
    count by address. A connection without a message is closed after `idle_s`. 0 and () are no limit, or the relay's own
    (`gate`)."""

    connections: int = 0
    source_connections: int = 0
    rates: tuple[Rate, ...] = ()
    source_rates: tuple[Rate, ...] = ()
    messages_per_connection: int = 0
    idle_s: int = 0
    tls: TlsLevel = "opportunistic"


@dataclass(frozen=True, slots=True)
class Share:
    """What a source or a tenant may use over all sites; 0 and () are no limit."""

    connections: int = 0
    rates: tuple[Rate, ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """`sites` are sites or providers, () all of them; `codes` beginnings of reply codes, () any; `stages` () any."""

    name: str
    action: Action
    match: str
    example: str
    but_not: str
    sites: tuple[str, ...] = ()
    of_provider: bool = False
    codes: tuple[str, ...] = ()
    stages: tuple[str, ...] = ()
    for_s: int = 0
    defer: bool = False

    @property
    def about_us(self) -> bool:
        """It blames our address or our pace: then the reply never counts against the recipient."""
        return self.defer or self.action in _ABOUT_US

    def applies(self, code: int, stage: str) -> bool:
        """Whether a reply with this code at this stage may be meant."""
        return (not self.codes or str(code).startswith(self.codes)) and (not self.stages or stage in self.stages)

    def matches(self, line: str) -> bool:
        """Whether this reply is meant, as it came: `421 4.7.0 Try again later`, at the first of the rule's stages."""
        stage = next(iter(self.stages), "rcpt")
        return (
            line[:3].isdigit()
            and self.applies(int(line[:3]), stage)
            and re.search(self.match, plain(line[:MAX_REPLY_CHARS])) is not None
        )


class Shaping:
    """The files, read: limits by site, source and tenant, and the rules in the order in which they are tried."""

    def __init__(
        self,
        shapes: Mapping[str, Shape],
        sources: Mapping[str, Share],
        tenants: Mapping[str, Share],
        rules: Sequence[Rule],
    ) -> None:
        self.shapes = shapes
        self.sources = sources
        self.tenants = tenants
        self.rules = tuple(rules)
        general = [rule for rule in rules if not rule.sites]
        self._general, self._nothing = _Chain(general), _Chain([])
        self._by_site = {
            site: _Chain(
                sorted((rule for rule in rules if site in rule.sites), key=lambda rule: rule.of_provider)
                + ([] if site.startswith("route:") else general)
            )
            for site in {site for rule in rules for site in rule.sites}
        }
        # Per instance, so that what was found goes away with it.
        self._find: Callable[[str, int, str, str], Rule | None] = lru_cache(maxsize=REMEMBERED)(self._first)

    @classmethod
    def parse(cls, *tomls: str) -> "Shaping":
        """The files in their order: a later one is laid over those before it. ValueError lists every fault."""
        files = [_File(toml, f"file {number}" if len(tomls) > 1 else "") for number, toml in enumerate(tomls, 1)]
        faults = [fault for file in files for fault in file.faults]
        rules = [rule for file in reversed(files) for rule in file.rules]
        names = [rule.name for rule in rules]
        faults += (f"two rules are called {name}" for name in sorted({name for name in names if names.count(name) > 1}))
        if faults:
            raise ValueError("\n".join(faults))
        return cls(_laid_over(files), _shares(files, "source"), _shares(files, "tenant"), rules)

    def laid_over(self, shapes: Mapping[str, Shape]) -> "Shaping":
        """The same with other limits for some sites."""
        return Shaping({**self.shapes, **shapes}, self.sources, self.tenants, self.rules) if shapes else self

    def of(self, site: str) -> Shape:
        """The limits of this site."""
        return self.shapes.get(site) or self.shapes["[route]" if site.startswith("route:") else "[default]"]

    def source(self, name: str) -> Share:
        return self.sources.get(name) or self.sources["default"]

    def tenant(self, name: str) -> Share:
        return self.tenants.get(name) or self.tenants["default"]

    def rule(self, site: str, code: int, text: str, stage: str) -> Rule | None:
        """The first rule for what this site said; `text` with its enhanced status code (`4.7.0 Try later`), and with
        or without its reply code."""
        said = text if text.startswith(f"{code}") else f"{code} {text}"
        return self._find(site, code, plain(said[:MAX_REPLY_CHARS]), stage)

    def rule_of(self, site: str, reply: Reply) -> Rule | None:
        """The rule for this reply; a positive one has none."""
        return self.rule(site, reply.code, reply.line, reply.stage) if reply.code >= 400 else None

    def _first(self, site: str, code: int, line: str, stage: str) -> Rule | None:
        # What a host of ours (`route:…`) says of addresses and lists is not about our address at a provider.
        others = self._nothing if site.startswith("route:") else self._general
        return self._by_site.get(site, others).first(code, line, stage)


class _Chain:
    """The rules of a site in the order in which they are tried."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = rules
        self._patterns = Patterns(rule.match for rule in rules)

    def first(self, code: int, line: str, stage: str) -> Rule | None:
        for number, search in self._patterns.possible(line):
            if self._rules[number].applies(code, stage) and search(line):
                return self._rules[number]
        return None


#: What may be said of a site, and how it is read.
_SHAPE_KEYS: Mapping[str, tuple[str, Callable[[object], object]]] = {
    "connections": ("connections", whole(0, MAX_CONNECTIONS)),
    "source_connections": ("source_connections", whole(0, MAX_CONNECTIONS)),
    "rate": ("rates", lambda value: _rates(value)),
    "source_rate": ("source_rates", lambda value: _rates(value)),
    "messages_per_connection": ("messages_per_connection", whole(0, MAX_MESSAGES_PER_CONNECTION)),
    "idle": ("idle_s", span_s),
    "tls": ("tls", one_of(*get_args(TlsLevel))),
}


class _File:
    """One file, as far as it can be read by itself."""

    def __init__(self, toml: str, where: str) -> None:
        self.faults: list[str] = []
        try:
            raw: object = tomllib.loads(toml)
        except tomllib.TOMLDecodeError as error:
            self.faults.append(f"{where}: this is not TOML: {error}".removeprefix(": "))
            raw = {}
        root = Table(raw, where, self.faults)
        self.shapes = {
            "[default]": _shape(root.table("default")),
            "[route]": _shape(root.table("route")),
        }
        for provider, table in root.tables("provider", "[provider.{}]").items():
            if provider not in _PROVIDERS:
                table.fault(f"there is no such provider; known are {', '.join(_PROVIDERS)}")
            self.shapes[provider] = _shape(table)
        for site, table in root.tables("site", "[site.{}]").items():
            if site in _PROVIDERS:
                table.fault(f"{site} is a provider: write [provider.{site}]")
            self.shapes[site] = _shape(table)
        self.shares = {
            kind: {name: _share(table) for name, table in root.tables(kind, f"[{kind}.{{}}]").items()}
            for kind in ("source", "tenant")
        }
        self.rules = [rule for table in root.rows("rule", "rule") if (rule := _rule(table))]
        root.end()
        self.faults += _never_reached(self.rules, where)


def _shape(table: Table) -> dict[str, object]:
    found = {field: table.take(key, None, read) for key, (field, read) in _SHAPE_KEYS.items()}
    table.end()
    return {field: value for field, value in found.items() if value is not None}


def _share(table: Table) -> Share:
    share = Share(
        connections=table.take("connections", 0, whole(0, MAX_CONNECTIONS)),
        rates=table.take("rate", (), _rates),
    )
    table.end()
    return share


def _laid_over(files: Iterable[_File]) -> dict[str, Shape]:
    said: dict[str, dict[str, object]] = {"[default]": {}, "[route]": {}}
    for file in files:
        for site, shape in file.shapes.items():
            said[site] = said.get(site, {}) | shape
    default = replace(Shape(), **said["[default]"])  # type: ignore[arg-type]
    return {site: replace(default, **shape) for site, shape in said.items()}  # type: ignore[arg-type]


def _shares(files: Iterable[_File], kind: str) -> dict[str, Share]:
    shares = {"default": Share()}
    for file in files:
        shares |= file.shares[kind]
    return shares


def _rule(table: Table) -> Rule | None:
    """The rule, or None where its faults leave none."""
    name = table.take("name", "", _rule_name)
    if name:
        table.called(name)
    match = table.take("match", "", _pattern)
    action = table.take("action", "none", one_of(*get_args(Action)))
    for_s = table.take("for", 0, span_s)
    providers = table.take("provider", (), some_of(*_PROVIDERS))
    sites = table.take("site", (), texts)
    rule = Rule(
        name,
        action,  # type: ignore[arg-type]
        match,
        example=table.take("example", "", text),
        but_not=table.take("but_not", "", text),
        sites=providers or sites,
        of_provider=bool(providers),
        codes=table.take("codes", (), _code_beginnings),
        stages=table.take("stages", (), some_of(*_STAGES)),
        for_s=for_s,
        defer=table.take("defer", False, flag),
    )
    for key in ("name", "match", "action", "example", "but_not"):
        if key not in table:
            table.fault(f"{key} is missing")
    if providers and sites:
        table.fault("is of a provider or of a site, not of both")
    if action in _TIMED and "for" not in table:
        table.fault(f"for is missing: how long to {action}")
    if action not in _TIMED and "for" in table:
        table.fault(f"for is of no use with {action}")
    if match:
        _try_out(rule, table)
    table.end()
    return rule if match and name else None


def _try_out(rule: Rule, table: Table) -> None:
    if rule.example and not rule.matches(rule.example):
        table.fault(f"its example does not match: {shown(rule.example)}")
    if rule.but_not and rule.matches(rule.but_not):
        table.fault(f"what it must leave alone matches: {shown(rule.but_not)}")


def _never_reached(rules: Sequence[Rule], where: str) -> Iterable[str]:
    """A rule whose own example is taken by one above it does nothing, or not what its author thinks."""
    prefix = f"{where}, " if where else ""
    for number, rule in enumerate(rules):
        above = (other for other in rules[:number] if _covers(other, rule) and other.matches(rule.example))
        if (taken := next(above, None)) is not None:
            yield f"{prefix}the rule {rule.name} never comes to its example: {taken.name} above it matches it"


def _covers(one: Rule, other: Rule) -> bool:
    """Whether the one is tried wherever the other is, at the same level."""
    if not other.sites:
        return not one.sites
    return one.of_provider == other.of_provider and set(other.sites) <= set(one.sites)


def _rates(value: object) -> tuple[Rate, ...]:
    """One rate, or several that hold together: `["100/s", "50000/h"]`."""
    try:
        return tuple(parse_rate(rate) for rate in texts(value))
    except ValueError as error:
        raise ValueError(f"is a rate or a list of them: {error}") from None


def _rule_name(value: object) -> str:
    if isinstance(value, str) and _NAME.fullmatch(value):
        return value
    raise ValueError(f"is small letters and digits joined by hyphens, not {shown(value)}")


def _code_beginnings(value: object) -> tuple[str, ...]:
    codes = tuple(str(code) for code in value) if isinstance(value, list) else (str(value),)
    if codes and all(_CODES.fullmatch(code) for code in codes):
        return codes
    raise ValueError(f"is reply codes or their beginnings, as in [421, 45], not {shown(value)}")


def _pattern(value: object) -> str:
    pattern = text(value)
    if fault := patterns.fault(pattern):
        raise ValueError(fault)
    return pattern
