"""The routes of recipients, put together with what records them."""

from services.tracking import http, view_http, visit_http
from services.tracking import parts as tracking_parts
from services.tracking.abouts import Abouts
from services.tracking.edge import edge
from services.tracking.network_files import KnownNetworks
from services.tracking.visiting import Pace, Visiting
from shared.http.parts import Mounted, Parts
from shared.process.lifecycle import beside
from shared.redis.untracked import Untracked
from shared.redis.web_tracking import WebTrackings


def routes(parts: Parts) -> Mounted:
    settings = parts.settings
    untracked, sites = Untracked(parts.client), WebTrackings(parts.client)
    networks = KnownNetworks(settings)
    abouts = Abouts(parts.client, parts.partitions, parts.recipients, parts.now_ms, parts.monotonic)
    tracking = tracking_parts.tracking(
        settings, parts.publisher, parts.tokens, parts.recipients, untracked, parts.chance(6).hex(), networks, abouts,
        sites,
    )  # fmt: skip
    hosts = tracking_parts.own_hosts(settings, parts.client, parts.vault)
    viewing, sandbox = tracking_parts.viewing(
        settings, parts.client, parts.tokens, parts.recipients, untracked, parts.erasure_keys, hosts, parts.chance(32)
    )
    hops = settings.tracking.forwarded_hops
    mounted = http.routes(tracking, parts.now_ms, hops)
    mounted += view_http.routes(viewing)
    visiting = Visiting(parts.tokens, tracking, untracked, sites, Pace(parts.monotonic))
    mounted += visit_http.routes(visiting, parts.now_ms, hops)
    return Mounted(
        mounted,
        start=tracking.start,
        run=beside(untracked.run, sandbox.run, sites.run),
        close=tracking.close,
        reload=networks,
        quick=edge(tracking, parts.now_ms, parts.monotonic, hops),
    )
