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


@dataclass(frozen=True, slots=True)
class Service:
    """`process`: `run`, if `estafette run` starts one; `alone`, if only `estafette serve` does; None if it has routes
    alone. `listens`: beside the port of its metrics it listens on the host and the port of its settings. `reads`: the
    streams that it reads, in a consumer group of its name. `only_on`: the `relay.route` without which it has nothing to
    do. `settings`: the Struct in `<module>.settings` that is the section of its name; that of `http` is shared."""

    name: str
    module: str
    process: Literal["run", "alone"] | None = None
    routes: bool = False
    stops: Literal["lets in", "sends", "receives", "counts"] | None = None
    listens: bool = False
    reads: tuple[str, ...] = ()
    only_on: str | None = None
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
        stops="lets in",
        listens=True,
    ),
    Service(
        "queueing",
        "services.queueing",
        process="run",
        routes=True,
        stops="sends",
        reads=("intake",),
        settings="Queueing",
    ),
    Service(
        "breakers",
        "services.breakers",
        process="run",
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
        stops="sends",
        settings="Relay",
    ),
    Service(
        "tracking",
        "services.tracking",
        process="alone",
        routes=True,
        settings="Tracking",
    ),
    Service(
        "bounces",
        "services.bounces",
        process="run",
        routes=True,
        stops="receives",
        listens=True,
        settings="Bounces",
    ),
    Service(
        "suppression",
        "services.suppression",
        process="run",
        routes=True,
        stops="counts",
        reads=("events",),
        settings="Suppression",
    ),
    Service(
        "reports",
        "services.reports",
        process="run",
        routes=True,
        stops="counts",
        reads=("events",),
        settings="Reports",
    ),
    Service(
        "mailbox",
        "services.local.mailbox",
        process="run",
        routes=True,
        stops="receives",
        listens=True,
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


def listening(route: str) -> list[str]:
    """Those that listen on the host and port of their settings."""
    return [service.name for service in of_an_instance(route) if service.listens]


def ports(settings: "Settings") -> dict[str, int]:
    """Every port that an instance takes under these settings, by the setting that says so."""
    listened = {f"{name}.port": getattr(settings, name).port for name in listening(settings.relay.route)}
    names = [service.name for service in SERVICES if service.process == "run"]
    return listened | {f"{name}.metrics_port": getattr(settings, name).metrics_port for name in names}
