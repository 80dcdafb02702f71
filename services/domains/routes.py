"""The routes of sending domains, put together."""

from collections.abc import Sequence

from services.domains import http
from shared.http.parts import Mounted, Parts
from shared.net import dns
from shared.net.return_paths import ReturnPathChecks
from shared.net.tracking_hosts import TrackingHostChecks
from shared.redis.sending_domains import SendingDomains


def routes(parts: Parts) -> Mounted:
    settings = parts.settings

    async def look_up(names: Sequence[str]) -> dict[str, tuple[str, ...] | None]:
        return await dns.texts(names, settings.dns.servers, settings.dns.timeout_ms)

    store = SendingDomains(parts.client, parts.vault, ours=settings.own_hosts)

    def ask() -> dns.Resolver:
        return dns.resolver(settings.dns.servers, settings.dns.timeout_ms, settings.dns.at_a_time, parts.monotonic)

    tracker, ours = settings.own_hosts
    routes = http.routes(
        store,
        parts.tenants,
        look_up,
        parts.now_ms,
        settings.quotas.by_name(),
        bounce_domain=ours,
        inspect=ReturnPathChecks(ours, ask, parts.now_ms),
        tracker=tracker,
        follow=TrackingHostChecks(tracker, ask, parts.now_ms),
        publisher=parts.publisher,
    )
    return Mounted(routes)
