"""The way by a named route: its host, whose door we are let in by our login, and what is told when we are not.

A login that is refused and encryption that cannot be had are about us and our settings, never about a recipient: the
mail waits, and an operator has to know. They read a line of it once a route and minute, however much mail waits.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import structlog
from prometheus_client import Counter

from services.relay.delivery.connection import Connection
from services.relay.traffic.egress import Source
from services.relay.traffic.smarthosts import Smarthost, Smarthosts
from services.relay.words.hop import Hop, NoRoute
from services.relay.words.reply import ConnectFailed
from shared.words.sites import route_name

FAILURES = Counter(
    "estafette_relay_route_failures_total",
    "Connections by a named route that were not had, by where it failed: connect, greeting, ehlo, tls, auth",
    ["route", "phase"],
)
TELL_AGAIN_S = 60.0
#: What an operator has to do, by where it failed.
_ADVICE = {
    "auth": "the host refuses our login: look at username and password_file, then SIGHUP",
    "tls": "its encryption or its certificate: look at host, tls and tls.ca_file",
}

#: The named routes that are in force.
Known = Callable[[], Smarthosts]
Open = Callable[[str, Hop, Source, Smarthost | None], Awaitable[Connection]]


class Routes(Protocol):
    async def hops(self, domain: str) -> Sequence[Hop] | NoRoute:
        """The hosts for a domain's mail, in the order in which they are to be tried."""


class NamedRoute:
    """For the mail of one site, which is a named route's: the one host, whatever the domain."""

    def __init__(self, site: str, known: Known) -> None:
        self._site = site
        self._known = known

    async def hops(self, domain: str) -> Sequence[Hop] | NoRoute:
        """As `route.Routes`. A route that is gone from the file may come back: its mail waits."""
        if (smarthost := self._known().get(self._site)) is None:
            return _gone(self._site)
        return (smarthost.hop,)


class Doors:
    """Opens connections to sites (`open_connection`), with the login of the route where the site is that of one."""

    def __init__(self, known: Known, open_connection: Open, monotonic: Callable[[], float]) -> None:
        self._known = known
        self._open = open_connection
        self._monotonic = monotonic
        self._told_at_s: dict[tuple[str, str], float] = {}
        self._log = structlog.get_logger("relay")

    def route(self, site: str) -> NamedRoute:
        """The way to the door of this site."""
        return NamedRoute(site, self._known)

    async def open(self, site: str, hop: Hop, source: Source) -> Connection:
        """ConnectFailed."""
        if not hop.route:
            return await self._open(site, hop, source, None)
        smarthost = self._known().get(site)
        if smarthost is None or smarthost.hop != hop:  # read again between the two
            raise ConnectFailed("connect", hop.host, f"the route {hop.route} is another now")
        try:
            return await self._open(site, hop, source, smarthost)
        except ConnectFailed as failed:
            FAILURES.labels(hop.route, failed.stage).inc()
            self._tell(hop, failed)
            raise

    def _tell(self, hop: Hop, failed: ConnectFailed) -> None:
        now_s = self._monotonic()
        place = (hop.route, failed.stage)
        if now_s - self._told_at_s.get(place, -TELL_AGAIN_S) < TELL_AGAIN_S:
            return
        self._told_at_s[place] = now_s
        reply = failed.reply.line if failed.reply is not None else failed.reason
        advice = _ADVICE.get(failed.stage, "")
        level = self._log.error if advice else self._log.warning
        level("route_failed", route=hop.route, phase=failed.stage, host=hop.host, reply=reply[:500], advice=advice)


def _gone(site: str) -> NoRoute:
    text = f"there is no route {route_name(site)} in relay.routes_file any more"
    return NoRoute("no_such_route", text, final=False)
