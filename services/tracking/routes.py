"""The routes of recipients, put together with what records them."""

from services.tracking import http, view_http
from services.tracking import parts as tracking_parts
from services.tracking.abouts import Abouts
from services.tracking.edge import edge
from services.tracking.network_files import KnownNetworks
from services.tracking.viewing import beside
from shared.http.parts import Mounted, Parts
from shared.redis.untracked import Untracked


def routes(parts: Parts) -> Mounted:
    settings = parts.settings
    untracked = Untracked(parts.client)
    networks = KnownNetworks(settings)
    abouts = Abouts(parts.client, parts.partitions, parts.recipients, parts.now_ms, parts.monotonic)
    tracking = tracking_parts.tracking(
        settings, parts.publisher, parts.tokens, parts.recipients, untracked, parts.chance(6).hex(), networks, abouts
    )
    hosts = tracking_parts.own_hosts(settings, parts.client, parts.vault)
    viewing, sandbox = tracking_parts.viewing(
        settings, parts.client, parts.tokens, parts.recipients, untracked, parts.erasure_keys, hosts, parts.chance(32)
    )
    hops = settings.tracking.forwarded_hops
    mounted = http.routes(tracking, parts.now_ms, hops)
    mounted += view_http.routes(viewing)
    return Mounted(
        mounted,
        start=tracking.start,
        run=beside(untracked.run, sandbox.run),
        close=tracking.close,
        reload=networks,
        quick=edge(tracking, parts.now_ms, parts.monotonic, hops),
    )
