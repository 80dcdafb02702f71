"""Every service, once: its process, routes, settings, streams, ports, and when it stops.

`estafette run` and `serve`, the process of all routes, the settings, the registry of streams, the table in
docs/architecture.md and the measurements read this; nothing else lists services (a house test says so). A new service
is its own folder and one row here. Pure data: modules are named as strings and imported when they are needed, so that
reading the catalogue costs nothing.

By convention a service `<module>` has, where its row says so: `<module>.__main__` with `main(life)`, its process;
`<module>.routes` with `routes(parts)` (`shared.http.parts`); `<module>.settings` with its section.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from shared.process.settings import Settings

#: When processes stop, against the flow: first what lets work in, then what sends, what receives, what counts. Those
#: of one moment stop together; Redis is last.
STOPS = ("lets in", "sends", "receives", "counts")

#: What a process needs of the place where it runs. `secret`: the master secret. `disk`: files in `data.dir` that are to
#: outlive it, for it goes on answering while Redis is away, and brings Redis later what happened meanwhile. `name`: the
#: same host name after a restart, by which its consumer goes on where it stood. `world`: ways out to mail hosts and to
#: web servers everywhere. `web`: to web servers of tenants. `sftp`: to SFTP servers of tenants.
#: `api`: to the process of all routes.
Need = Literal["secret", "disk", "name", "world", "web", "sftp", "api"]


@dataclass(frozen=True, slots=True)
class Service:
    """`process`: `run`, if `estafette run` starts one; `alone`, if only `estafette serve` does; None if it has routes
    alone. `metrics_port`: the default of that setting, the same everywhere, so that one scrape configuration and one
    firewall rule fit all installations; a number once given is never another's; 0: a free port. `listens`: the setting
    of the port on which it listens beside that one; `listens_too`: of one more. `reads`: the streams that it reads, in
    a consumer group of its name. `needs`: see `Need`. `only_on`: the `relay.route` without which it has nothing to do.
    `only_with`: the setting without which it has not. `settings`: the Struct in `<module>.settings` that is the section
    of its name; that of `http` is shared."""

    name: str
    module: str
    process: Literal["run", "alone"] | None = None
    metrics_port: int = 0
    routes: bool = False
    stops: Literal["lets in", "sends", "receives", "counts"] | None = None
    listens: str | None = None
    listens_too: str | None = None
    reads: tuple[str, ...] = ()
    needs: tuple[Need, ...] = ()
    only_on: str | None = None
    only_with: str | None = None
    settings: str | None = None

    def is_needed(self, route: str) -> bool:
        """Whether it has something to do on this `relay.route`."""
        return self.only_on in (None, route)

    def main(self) -> ModuleType:
        """The module of its process, whose `main` takes a `Lifecycle`."""
        return import_module(f"{self.module}.__main__")

    def mounting(self) -> ModuleType:
        """The module whose `routes` takes the parts."""
        return import_module(f"{self.module}.routes")


#: In the order of a mail's way.
SERVICES: tuple[Service, ...] = (
    Service(
        "http",
        "services.http",
        process="run",
        metrics_port=9101,
        stops="lets in",
        listens="http.port",
        needs=("secret",),
    ),
    Service(
        "queueing",
        "services.queueing",
        process="run",
        metrics_port=9102,
        routes=True,
        stops="sends",
        reads=("intake", "events"),
        settings="Queueing",
    ),
    Service(
        "breakers",
        "services.breakers",
        process="run",
        metrics_port=9103,
        routes=True,
        stops="counts",
        reads=("events",),
        settings="Breakers",
    ),
    Service(
        "domains",
        "services.domains",
        routes=True,
    ),
    Service(
        "relay",
        "services.relay",
        process="run",
        metrics_port=9104,
        stops="sends",
        needs=("secret", "world"),
        settings="Relay",
    ),
    Service(
        "tracking",
        "services.tracking",
        process="alone",
        metrics_port=9105,
        routes=True,
        listens="http.port",
        needs=("secret", "disk"),
        settings="Tracking",
    ),
    Service(
        "bounces",
        "services.bounces",
        process="run",
        metrics_port=9106,
        routes=True,
        stops="receives",
        listens="bounces.port",
        needs=("secret",),
        settings="Bounces",
    ),
    Service(
        "suppression",
        "services.suppression",
        process="run",
        metrics_port=9107,
        routes=True,
        stops="counts",
        reads=("events",),
        needs=("name",),
        settings="Suppression",
    ),
    Service(
        "reports",
        "services.reports",
        process="run",
        metrics_port=9108,
        routes=True,
        stops="counts",
        reads=("events",),
        needs=("secret", "name"),
        settings="Reports",
    ),
    Service(
        "drops",
        "services.reports.drops",
        process="alone",
        metrics_port=9112,
        routes=True,
        needs=("secret", "sftp"),
        only_with="drops.enabled",
        settings="Drops",
    ),
    Service(
        "archive",
        "services.archive",
        process="alone",
        metrics_port=9111,
        reads=("events",),
        needs=("secret", "name"),
        only_with="archive.target",
        settings="Archive",
    ),
    Service(
        "contacts",
        "services.contacts",
        process="alone",
        metrics_port=9113,
        routes=True,
        reads=("events",),
        needs=("secret", "name"),
        only_with="contacts.url",
        settings="Contacts",
    ),
    Service(
        "webhooks",
        "services.webhooks",
        process="run",
        metrics_port=9110,
        routes=True,
        stops="counts",
        reads=("events",),
        needs=("secret", "web"),
        settings="Webhooks",
    ),
    Service(
        "operator",
        "services.operator",
        routes=True,
    ),
    Service(
        "pages",
        "services.pages",
        routes=True,
        settings="Pages",
    ),
    Service(
        "submission",
        "services.submission",
        process="run",
        metrics_port=9114,
        stops="lets in",
        listens="submission.port",
        listens_too="submission.tls_port",
        needs=("api",),
        settings="Submission",
    ),
    Service(
        "mailbox",
        "services.local.mailbox",
        process="run",
        metrics_port=9109,
        routes=True,
        stops="receives",
        listens="mailbox.port",
        only_on="mailbox",
        settings="Mailbox",
    ),
)
BY_NAME = {service.name: service for service in SERVICES}
#: What `estafette serve` can be asked for.
SERVED = tuple(service.name for service in SERVICES if service.process)


def of_an_instance(route: str) -> list[Service]:
    """The services whose processes `estafette run` starts on this `relay.route`."""
    return [service for service in SERVICES if service.process == "run" and service.is_needed(route)]


def mounted(route: str) -> list[Service]:
    """The services whose routes the process `http` mounts on this `relay.route`."""
    return [service for service in SERVICES if service.routes and service.is_needed(route)]


def stop_order(services: Sequence[Service]) -> list[list[str]]:
    """Names of those that stop together, in the order of stopping."""
    return [[service.name for service in services if service.stops == moment] for moment in STOPS]


def places(settings: "Settings") -> dict[str, tuple[str, int]]:
    """Host and port of all that an instance listens on under these settings, by the setting of the port; 0 is a free
    one."""
    listened = {
        name: getattr(settings, one.name)
        for one in of_an_instance(settings.relay.route)
        for name in (one.listens, one.listens_too)
        if name is not None
    }
    watched = {f"{one.name}.metrics_port": getattr(settings, one.name) for one in of_an_instance(settings.relay.route)}
    return {setting: (one.host, getattr(one, setting.partition(".")[2])) for setting, one in listened.items()} | {
        setting: (settings.metrics.host, section.metrics_port) for setting, section in watched.items()
    }


def ports(settings: "Settings") -> dict[str, int]:
    """Every port that an instance takes under these settings, by the setting that says so."""
    return {setting: port for setting, (_, port) in places(settings).items()}
