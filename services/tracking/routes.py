"""The routes of recipients, put together with what records them."""

from services.tracking import http
from services.tracking import parts as tracking_parts
from shared.http.parts import Mounted, Parts


def routes(parts: Parts) -> Mounted:
    settings = parts.settings
    tracking = tracking_parts.tracking(
        settings, parts.publisher, parts.tokens, parts.recipients, name=parts.chance(6).hex()
    )
    mounted = http.routes(tracking, parts.now_ms, settings.tracking.forwarded_hops)
    return Mounted(mounted, start=tracking.start, close=tracking.close)
