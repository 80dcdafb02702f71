"""The routes of recipients, put together with what records them, and that of tenants which makes links to documents."""

from services.tracking import documents_http, http, view_http
from services.tracking import parts as tracking_parts
from services.tracking.abouts import Abouts
from services.tracking.documents import Documents
from services.tracking.edge import edge
from services.tracking.network_files import KnownNetworks
from services.tracking.viewing import beside
from shared.http.parts import Mounted, Parts
from shared.redis.consents import Consents
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
    consents = Consents(parts.client, parts.partitions, parts.monotonic)
    documents = Documents(
        parts.client, parts.partitions, parts.tokens, parts.recipients, consents, untracked, hosts, parts.now_ms
    )
    hops = settings.tracking.forwarded_hops
    mounted = http.routes(tracking, parts.now_ms, hops)
    mounted += view_http.routes(viewing)
    mounted += documents_http.routes(documents)
    return Mounted(
        mounted,
        start=tracking.start,
        run=beside(untracked.run, sandbox.run),
        close=tracking.close,
        reload=networks,
        quick=edge(tracking, parts.now_ms, parts.monotonic, hops),
    )
