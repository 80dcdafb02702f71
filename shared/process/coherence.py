"""Settings that are each right (`shared.process.setting_checks`) and wrong together, or on this machine: found before
anything is started. Only files are looked at.

What cannot work, or sends the world what leads nowhere, is a fault: the processes that it concerns do not start. What
may be meant is a doubt: it is said, and they start. `mailbox`, and a fixed route to this machine, are for trying: links
to it are right there. With `relay.private_networks` mail is meant for a network of one's own, where they may be.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from shared.mail import domain_names
from shared.net.inside import is_inside
from shared.process.settings import Settings, SettingsError
from shared.words.sites import parse_route

#: Which processes a setting concerns (those of `estafette serve`).
LINKS = frozenset(("http", "relay"))
RETURN_PATHS = frozenset(("http", "relay", "bounces"))
ROUTES = frozenset(("queueing", "relay"))
VISITORS = frozenset(("http", "tracking"))
#: What signs and reads links and return paths, and what knows hashes or opens seals.
SECRETS = LINKS | RETURN_PATHS | VISITORS | frozenset(("archive", "contacts", "webhooks", "reports", "drops"))
RELAY, HTTP, BOUNCES = frozenset(("relay",)), frozenset(("http",)), frozenset(("bounces",))


@dataclass(frozen=True, slots=True)
class Finding:
    """`text` begins with the setting and says what to set. `fatal` is a fault, else it is a doubt."""

    processes: frozenset[str]
    text: str
    fatal: bool = True


def refuse(settings: Settings, process: str | None = None, ports: Mapping[str, int] | None = None) -> None:
    """SettingsError with every fault that concerns the process; None: all of one machine (`estafette run`), whose
    `ports` are, by their setting, those that its processes take."""
    faults = [one.text for one in findings(settings) if one.fatal and (process is None or process in one.processes)]
    faults += _ports_taken_twice(ports or {})
    if faults:
        raise SettingsError(faults)


def doubts(settings: Settings, process: str) -> list[str]:
    return [one.text for one in findings(settings) if not one.fatal and process in one.processes]


def findings(settings: Settings) -> list[Finding]:
    """In the order in which they are best mended."""
    reach = _Reach(settings)
    return [
        *_route(settings),
        *_links(settings, reach),
        *_return_paths(settings, reach),
        *_visitors(settings),
        *_files(settings),
        *_reports(settings, reach),
    ]


class _Reach:
    """Who gets the mail: the world (`fatal`: what leads nowhere is a fault), perhaps the world, or nobody but us."""

    def __init__(self, settings: Settings) -> None:
        self._route = settings.relay.route
        self._is_private = settings.relay.private_networks
        self._has_routes = bool(settings.relay.routes_file)

    @cached_property
    def leaves(self) -> bool:
        if self._has_routes:
            return True
        if self._route in ("mailbox", "mx"):
            return self._route == "mx"
        return not _is_of_this_machine(self._route.removeprefix("smtp://").rpartition(":")[0])

    @cached_property
    def fatal(self) -> bool:
        return self._route == "mx" and not self._is_private


def _route(settings: Settings) -> Iterator[Finding]:
    route = settings.relay.route
    try:
        fixed = parse_route(route, settings.mailbox.host, settings.mailbox.port)
    except ValueError as error:
        yield Finding(ROUTES, _about("relay.route", str(error)))
        return
    if route.startswith("smtp://") and fixed is not None:
        bounces = settings.bounces
        is_ours = _is_of_this_machine(fixed.host) or fixed.host == bounces.host
        if fixed.port == bounces.port and is_ours and _is_of_this_machine(bounces.host, any_address=True):
            why = f"{route} is bounces.port, which takes what comes back: name the host that takes mail"
            yield Finding(RELAY, _about("relay.route", why))
    if route == "mailbox" and not _is_of_this_machine(settings.http.host):
        why = (
            f"whoever reaches {settings.http.host}:{settings.http.port} reads every mail at /mailbox; it is for trying"
        )
        yield Finding(HTTP, _about("relay.route", f"it is mailbox, and {why}"), fatal=False)
    if route == "mx" and settings.relay.mx_port != 25 and not settings.relay.private_networks:
        yield Finding(RELAY, _about("relay.mx_port", "the mail hosts of the world listen at 25"), fatal=False)


def _links(settings: Settings, reach: _Reach) -> Iterator[Finding]:
    url, name = urlsplit(settings.base_url), "tracking.base_url"
    if url.username is not None:
        yield Finding(LINKS, _about(name, "a user or a password in it would stand in every mail: leave it away"))
    if not reach.leaves:
        return
    advice = "set it to the https:// address of a proxy in front of http.port"
    if (where := _why_unreachable(url.hostname or "")) is not None:
        why = f"links in mails would begin with {url.scheme}://{url.netloc.rpartition('@')[2]}, and {where}; {advice}"
        yield Finding(LINKS if reach.fatal else RELAY, _about(name, why), reach.fatal)
    if url.scheme != "https":
        why = (
            "links in mails would begin with http://: who is on the way reads and changes where they lead, and "
            f"one-click unsubscription (RFC 8058) is by https alone; {advice}"
        )
        yield Finding(LINKS if reach.fatal else RELAY, _about(name, why), reach.fatal)


def _return_paths(settings: Settings, reach: _Reach) -> Iterator[Finding]:
    domain, name = settings.bounces.domain, "bounces.domain"
    advice = "set it to a domain of yours whose MX record leads to bounces.port"
    try:
        normal = domain_names.normalise(domain)
    except domain_names.InvalidDomain as error:
        yield Finding(RETURN_PATHS, _about(name, f"{error}; {advice}"))
        return
    if _is_address(normal):
        yield Finding(RETURN_PATHS, _about(name, f"{normal} is an address, not a domain; {advice}"))
        return
    if normal != domain.lower():
        yield Finding(RETURN_PATHS, _about(name, f"write it as {normal}, not {domain!r:.200}"))
    if not reach.leaves:
        return
    if (where := _why_unreachable(normal)) is not None:
        why = f"return paths, and unsubscriptions by mail, would be at {normal}, and {where}; {advice}"
        yield Finding(RETURN_PATHS if reach.fatal else RELAY, _about(name, why), reach.fatal)
    if normal == (urlsplit(settings.base_url).hostname or "").lower():
        why = f"{normal} is the host of tracking.base_url too: it needs an MX record beside its address, and no CNAME"
        yield Finding(RELAY, _about(name, why), fatal=False)
    listener = settings.bounces
    if _is_of_this_machine(listener.host):
        why = f"{listener.host} is heard on this machine alone: bounces reach us only by a mail server here"
        yield Finding(BOUNCES, _about("bounces.host", why), fatal=False)
    if listener.port == 0:
        yield Finding(BOUNCES, _about("bounces.port", "it is another one at each start: set it"), fatal=False)


def _visitors(settings: Settings) -> Iterator[Finding]:
    hops, name = settings.tracking.forwarded_hops, "tracking.forwarded_hops"
    url = urlsplit(settings.tracking.base_url)
    if hops and not url.netloc:
        why = (
            f"it is {hops}, and links lead to http.port itself (tracking.base_url is not set): visitors who come "
            "without a proxy choose the address that is recorded"
        )
        yield Finding(VISITORS, _about(name, why), fatal=False)
    if not hops and url.scheme == "https":
        why = "it is 0, and tracking.base_url is https://, which a proxy speaks: all visitors have the proxy's address"
        yield Finding(VISITORS, _about(name, why), fatal=False)


def _files(settings: Settings) -> Iterator[Finding]:
    tls, relay = settings.tls, settings.relay
    if tls.client_key and not tls.client_certificate:
        yield Finding(RELAY, _about("tls.client_certificate", "tls.client_key is set, and this is not: name both"))
    named: list[tuple[frozenset[str], str, str]] = [
        (RELAY, "tls.client_certificate", tls.client_certificate),
        (RELAY, "tls.client_key", tls.client_key),
        (RELAY, "tls.ca_file", tls.ca_file),
        (RELAY, "relay.shaping_file", relay.shaping_file),
        (RELAY, "relay.egress_file", relay.egress_file),
        (ROUTES, "relay.routes_file", relay.routes_file),
        (SECRETS, "secret.key_file", settings.secret.key_file),
        *((SECRETS, "secret.previous_key_files", str(file)) for file in settings.previous_secret_files),
    ]
    for processes, name, file in named:
        if file and (why := _why_unreadable(Path(file))) is not None:
            yield Finding(processes, _about(name, f"{file}: {why}"))


def _reports(settings: Settings, reach: _Reach) -> Iterator[Finding]:
    tls = settings.tls
    if tls.report_from and reach.leaves:
        sender = tls.report_from.rpartition("@")[2]
        if (where := _why_unreachable(sender)) is not None:
            why = f"reports would come from {sender}, and {where}; set it to an address of yours"
            yield Finding(RELAY, _about("tls.report_from", why), reach.fatal)
    if (tls.organization or tls.contact) and not tls.report_from:
        why = "it is not set, and so no report is sent: tls.organization and tls.contact change nothing"
        yield Finding(RELAY, _about("tls.report_from", why), fatal=False)


def _ports_taken_twice(ports: Mapping[str, int]) -> Iterator[str]:
    """Of one machine alone: elsewhere they are different machines' ports."""
    taken: dict[int, str] = {}
    for name, port in ports.items():
        if port and taken.setdefault(port, name) != name:
            yield _about(name, f"{port} is {taken[port]} already")


def _about(setting: str, text: str) -> str:
    return f"{setting} (ESTAFETTE_{setting.replace('.', '_').upper()}): {text}"


def _is_of_this_machine(host: str, *, any_address: bool = False) -> bool:
    """Only this machine reaches it. With `any_address` also what is heard everywhere."""
    host = host.strip("[]").lower().rstrip(".")
    if host in ("localhost", "ip6-localhost") or host.endswith(".localhost"):
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return any_address and host == ""
    return address.is_loopback or (any_address and address.is_unspecified)


def _why_unreachable(host: str) -> str | None:
    """Why the world does not get there; None if it may."""
    host = host.lower().rstrip(".")
    if _is_of_this_machine(host, any_address=True):
        return "that is whatever machine reads it"
    if _is_address(host):
        return "that is an address of no network but one's own" if is_inside(host.strip("[]")) else None
    try:
        name = domain_names.normalise(host)
        domain_names.refuse_reserved(name)
    except domain_names.InvalidDomain as error:
        return f"that leads nowhere ({error})"
    return None if "." in name else "that is a name of no network but one's own"


def _is_address(host: str) -> bool:
    try:
        ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def _why_unreadable(file: Path) -> str | None:
    try:
        with file.open("rb") as opened:
            opened.read(1)
    except OSError as error:
        return f"{(error.strerror or str(error)).lower()}"
    return None
