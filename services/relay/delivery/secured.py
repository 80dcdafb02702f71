"""The hops for a domain, each with how its host has to be encrypted to."""

from collections.abc import Callable, Sequence

from services.relay.delivery.route import Routes
from services.relay.encryption.policies import Policies
from services.relay.words.hop import Hop, NoRoute
from services.relay.words.tls import Level


class SecuredRoutes:
    """Hops as a site's shaping (`level`), the recipient domain's MTA-STS policy and its hosts' TLSA records ask for
    them."""

    def __init__(self, routes: Routes, policies: Policies, level: Callable[[], Level]) -> None:
        self._routes, self._policies, self._level = routes, policies, level

    async def hops(self, domain: str) -> Sequence[Hop] | NoRoute:
        """As `route.Routes`, each hop with the policy that holds for it. RedisAway."""
        hops = await self._routes.hops(domain)
        return hops if isinstance(hops, NoRoute) else await self._policies.secured(domain, hops, self._level())
