"""The routes of recipients, put together with what records them."""

from services.tracking import http
from services.tracking import parts as tracking_parts
from services.tracking.edge import edge
from shared.http.parts import Mounted, Parts
from shared.redis.untracked import Untracked


def routes(parts: Parts) -> Mounted:
    settings = parts.settings
    untracked = Untracked(parts.client)
    tracking = tracking_parts.tracking(
        settings, parts.publisher, parts.tokens, parts.recipients, untracked, parts.chance(6).hex()
    )
    hops = settings.tracking.forwarded_hops
    return Mounted(
        http.routes(tracking, parts.now_ms, hops),
        start=tracking.start,
        run=untracked.run,
        close=tracking.close,
        quick=edge(tracking, parts.now_ms, parts.monotonic, hops),
    )
