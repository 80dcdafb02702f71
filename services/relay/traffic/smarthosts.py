"""The named routes as the relay uses them: where each leads, how it is encrypted to, and by which login. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from services.relay.traffic.shaping import Shape
from services.relay.words.hop import Hop
from services.relay.words.tls import NEVER, OPPORTUNISTIC, TlsPolicy
from shared.process.routing import Route, Tls
from shared.words.sites import route_name

#: To a host that proves its name. Nobody but the operator has a say in it: it is no recipient domain's host.
VERIFIED = TlsPolicy("verified", "route")
_POLICIES: Mapping[Tls, TlsPolicy] = {
    "required": VERIFIED, "implicit": VERIFIED, "opportunistic": OPPORTUNISTIC, "never": NEVER,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Smarthost:
    """A named route, with what its password file says."""

    route: Route
    password: str = field(default="", repr=False)

    @property
    def login(self) -> tuple[str, str] | None:
        return (self.route.username, self.password) if self.route.username else None

    @property
    def hop(self) -> Hop:
        """Whatever network it is in: the operator named it."""
        route = self.route
        return Hop(route.host, route.port, tls=_POLICIES[route.tls], implicit=route.tls == "implicit", route=route.name)

    @property
    def way(self) -> tuple[Hop, tuple[str, str] | None]:
        """What a connection that stays open was opened by."""
        return self.hop, self.login

    def shaped(self, shape: Shape) -> Shape:
        """What shaping says of its site, with the route's own limits laid over it."""
        route = self.route
        return replace(
            shape,
            connections=route.connections or shape.connections,
            rates=route.rates or shape.rates,
            messages_per_connection=route.messages_per_connection or shape.messages_per_connection,
        )


#: By their sites.
Smarthosts = Mapping[str, Smarthost]


def changed(before: Smarthosts, after: Smarthosts) -> list[str]:
    """The names of routes that lead elsewhere now, or by another login; new ones and those that are gone, too."""
    return [
        route_name(site)
        for site in sorted({*before, *after})
        if site not in before or site not in after or before[site].way != after[site].way
    ]


def differences(before: Smarthosts, after: Smarthosts) -> Iterator[str]:
    """In words, a line for each route that is another; limits are told as those of its site."""
    for site in sorted({*before, *after}):
        old, new = before.get(site), after.get(site)
        if new is None:
            yield f"{site} is gone"
        elif old is None:
            yield f"{site} is new: " + ", ".join(f"{key} {value}" for key, value in _words(new).items() if value)
        else:
            was, now = _words(old), _words(new)
            said = [f"{key} {was[key] or 'none'} is now {now[key] or 'none'}" for key in now if was[key] != now[key]]
            if old.password != new.password:
                said.append("the password is another")
            if said:
                yield f"{site}: " + "; ".join(said)


def _words(smarthost: Smarthost) -> Mapping[str, str]:
    """What there is to say of it, without its password."""
    route = smarthost.route
    signs = "signed here" if route.dkim else "not signed here"
    return {"host": route.place, "tls": route.tls, "username": route.username, "mail": signs}
