"""By which of the operator's named routes a recipient's mail goes, read at the start, and again at SIGHUP."""

from services.queueing.store import Head
from shared.mail.addresses import InvalidAddress, domain_of, parse
from shared.process import routing
from shared.process.reload import Prepared
from shared.process.routing import Asked
from shared.process.settings import Settings


class KnownRoutes:
    """Those in force. SettingsError if they cannot be read."""

    settings = frozenset(("relay.routes_file",))

    def __init__(self, settings: Settings) -> None:
        self._now = routing.read(settings)

    def site_of(self, head: Head, domain: str) -> str | None:
        """The site of the named route for this domain's mail of a job; None: there is none for it."""
        if not self._now.rules:
            return None
        route = self._now.route_for(Asked(domain, head.tenant, head.stream, from_domain(head.sender)))
        return route.site if route is not None else None

    def prepare(self, settings: Settings) -> Prepared:
        """As `shared.process.reload.Part`. What is queued already stays where it is."""
        found = routing.read(settings)

        async def apply() -> None:
            self._now = found

        return Prepared(routing.differences(self._now, found), apply)


def from_domain(sender: str) -> str:
    """Of a From as jobs have it: `Ana <ana@example.net>`, or the address alone."""
    try:
        return domain_of(parse(sender.rpartition("<")[2].rstrip(" >")).key)
    except InvalidAddress:
        return ""
