"""Which mail goes by which named route, as `relay.routes_file` says: queueing chooses, the relay sends, people ask.

    [route.ses]
    host = "email-smtp.eu-west-1.amazonaws.com:587"
    tls = "required"                        # STARTTLS; `implicit`: from the first byte; both to a verified name
    username = "AKIAEXAMPLE"
    password_file = "/etc/estafette/ses.password"
    dkim = true                             # whether we sign; false: the host does
    connections = 10                        # of all relays together
    rate = "14/s"
    messages_per_connection = 100

    [[rule]]
    route = "ses"
    tenant = "acme"                         # a text or a list; what is not said is any
    stream = ["bulk", "one_to_one"]
    domain = ["partner.example", "*.example.net"]
    from = "news.acme.example"

Rules are tried from the top, and the first that fits wins: all that it says has to hold. `route = "default"` ends the
search without a named route. What no rule takes goes as `relay.route` says. `*.example.net` is every name below
example.net, not example.net itself.

A route is a site of its own (`route:ses`): its queue, its limits, its connections. It is chosen once, when a mail is
queued. Passwords stand in files that the relay alone reads.
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Literal, get_args
from urllib.parse import urlsplit

from shared.mail.addresses import InvalidAddress, domain_of, parse
from shared.process.settings import Settings, SettingsError
from shared.process.tables import Table, flag, one_of, shown, some_of, text, texts, whole
from shared.words.content import Stream
from shared.words.rates import Rate, parse_rate
from shared.words.sites import named_site

Tls = Literal["required", "implicit", "opportunistic", "never"]

#: The rest of the mail: as `relay.route` says.
DEFAULT = "default"
#: Where a route without a port listens: submission (RFC 6409), submission over TLS (RFC 8314), SMTP.
_PORTS: Mapping[str, int] = MappingProxyType({"required": 587, "implicit": 465, "opportunistic": 25, "never": 25})
#: What proves to whom a password is given.
_PROVING = ("required", "implicit")
MAX_CONNECTIONS = 100_000
MAX_MESSAGES_PER_CONNECTION = 1_000_000
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
MAX_NAME_CHARS = 40
_DOMAIN = re.compile(r"(\*\.)?[^\s@*,;:/<>]+")


@dataclass(frozen=True, slots=True)
class Route:
    """A host that takes mail for everybody, how it is reached, and its limits; 0 and () are those of shaping."""

    name: str
    host: str = ""
    port: int = 0
    tls: Tls = "required"
    username: str = ""
    password_file: str = ""
    dkim: bool = True
    connections: int = 0
    rates: tuple[Rate, ...] = ()
    messages_per_connection: int = 0

    @property
    def site(self) -> str:
        return named_site(self.name)

    @property
    def place(self) -> str:
        return f"{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Asked:
    """A mail that is to be queued: the recipient's domain, whose it is, its stream, and the domain that it is from."""

    domain: str
    tenant: str = ""
    stream: str = ""
    sender: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """() is any."""

    route: str
    domains: tuple[str, ...] = ()
    tenants: tuple[str, ...] = ()
    streams: tuple[str, ...] = ()
    senders: tuple[str, ...] = ()

    def fits(self, asked: Asked) -> bool:
        return (
            (not self.tenants or asked.tenant in self.tenants)
            and (not self.streams or asked.stream in self.streams)
            and (not self.domains or _is_one_of(asked.domain, self.domains))
            and (not self.senders or _is_one_of(asked.sender, self.senders))
        )

    @property
    def words(self) -> str:
        """What it asks for, as people read it."""
        said = {"domain": self.domains, "tenant": self.tenants, "stream": self.streams, "from": self.senders}
        return "; ".join(f"{key} {', '.join(values)}" for key, values in said.items() if values) or "any mail"


@dataclass(frozen=True, slots=True)
class Routing:
    """The file, read."""

    routes: Mapping[str, Route] = field(default_factory=dict)
    rules: Sequence[Rule] = ()

    @classmethod
    def parse(cls, toml: str) -> "Routing":
        """ValueError lists every fault, a line each."""
        faults: list[str] = []
        routing = _read(toml, faults)
        if faults:
            raise ValueError("\n".join(faults))
        return routing

    def rule_for(self, asked: Asked) -> tuple[int, Rule] | None:
        """The first rule that fits, with its number from 1; None: there is none."""
        return next(((at, rule) for at, rule in enumerate(self.rules, 1) if rule.fits(asked)), None)

    def route_for(self, asked: Asked) -> Route | None:
        """The named route of this mail; None: it goes as `relay.route` says."""
        found = self.rule_for(asked)
        return None if found is None else self.routes.get(found[1].route)


def read(settings: Settings) -> Routing:
    """What the file says that these settings name; nothing without one. SettingsError with every fault."""
    file = settings.relay.routes_file
    try:
        return Routing.parse(Path(file).read_text("utf-8") if file else "")
    except (OSError, ValueError) as error:
        raise SettingsError([f"relay.routes_file: {file}: {fault}" for fault in str(error).splitlines()]) from None


def differences(before: Routing, after: Routing) -> list[str]:
    """Of the rules, in words: routes themselves are the relay's matter."""
    if before.rules == after.rules:
        return []
    return [f"route {number}: {rule.words}: {rule.route}" for number, rule in enumerate(after.rules, 1)] or [
        "there are no rules of routes any more"
    ]


def _is_one_of(domain: str, patterns: Sequence[str]) -> bool:
    return any(domain.endswith(one[1:]) if one.startswith("*.") else domain == one for one in patterns)


def _read(toml: str, faults: list[str]) -> Routing:
    try:
        root = Table(tomllib.loads(toml), "", faults)
    except tomllib.TOMLDecodeError as error:
        faults.append(f"this is not TOML: {error}")
        root = Table({}, "", [])
    routes = {name: _route(name, table) for name, table in root.tables("route", "[route.{}]").items()}
    rules = [_rule(table, routes) for table in root.rows("rule", "rule")]
    root.end()
    return Routing(routes, tuple(rules))


def _route(name: str, table: Table) -> Route:
    if name == DEFAULT or not _NAME.fullmatch(name) or len(name) > MAX_NAME_CHARS:
        table.fault(f"a route is called by small letters and digits joined by hyphens, and not {DEFAULT}")
    tls = table.take("tls", "required", one_of(*get_args(Tls)))
    host, port = table.take("host", ("", 0), _place)
    if "host" not in table:
        table.fault('host is missing, as in "smtp.example.net:587"')
    route = Route(
        name,
        host,
        port or _PORTS[tls],
        tls,  # type: ignore[arg-type]
        username=table.take("username", "", _word),
        password_file=table.take("password_file", "", _file),
        dkim=table.take("dkim", True, flag),
        connections=table.take("connections", 0, whole(0, MAX_CONNECTIONS)),
        rates=table.take("rate", (), _rates),
        messages_per_connection=table.take("messages_per_connection", 0, whole(0, MAX_MESSAGES_PER_CONNECTION)),
    )
    if bool(route.username) != bool(route.password_file):
        table.fault("username and password_file are named both or not at all")
    if route.username and tls not in _PROVING:
        table.fault(f"a password is given to a host that has proved its name: tls is {' or '.join(_PROVING)}")
    table.end()
    return route


def _rule(table: Table, routes: Mapping[str, Route]) -> Rule:
    def known(value: object) -> str:
        if isinstance(value, str) and (value in routes or value == DEFAULT):
            return value
        raise ValueError(f"names the route {shown(value)}; known are {', '.join([*routes, DEFAULT])}")

    rule = Rule(
        table.take("route", DEFAULT, known),
        domains=table.take("domain", (), _domains),
        tenants=table.take("tenant", (), texts),
        streams=table.take("stream", (), some_of(*get_args(Stream))),
        senders=table.take("from", (), _domains),
    )
    if "route" not in table:
        table.fault("route is missing: the name of a route, or default")
    table.end()
    return rule


def _place(value: object) -> tuple[str, int]:
    """A host and its port, 0 for none. Nothing before an @ is shown: it might be a password."""
    said = text(value)
    wrong = ValueError(f"is a host, or a host and its port, not {shown(said.rpartition('@')[2])}")
    try:
        url = urlsplit(f"//{said}")
        host, port = url.hostname, url.port
    except ValueError:
        raise wrong from None
    if not host or port == 0 or url.path or url.query or url.fragment or url.username is not None or " " in said:
        raise wrong
    return host, port or 0


def _word(value: object) -> str:
    if not (said := text(value)).isprintable():
        raise ValueError("is one line of text")
    return said


def _file(value: object) -> str:
    if "\0" in (said := text(value)):
        raise ValueError("is the name of a file")
    return said


def _domains(value: object) -> tuple[str, ...]:
    """As addresses have them (`shared.mail.addresses`): in small letters and in Punycode."""
    return tuple(map(_domain, texts(value)))


def _domain(said: str) -> str:
    star, bare = ("*.", said[2:]) if said.startswith("*.") else ("", said)
    try:
        if not _DOMAIN.fullmatch(said):
            raise InvalidAddress(said)
        return star + domain_of(parse(f"x@{bare}").key)
    except InvalidAddress:
        raise ValueError(f"is domains, as example.net or *.example.net, not {shown(said)}") from None


def _rates(value: object) -> tuple[Rate, ...]:
    try:
        return tuple(parse_rate(rate) for rate in texts(value))
    except ValueError as error:
        raise ValueError(f"is a rate or a list of them: {error}") from None
