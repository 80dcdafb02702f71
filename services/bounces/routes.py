"""The routes of kept mail, and that by which mail comes in, put together."""

from services.bounces import http, inbound, wiring
from services.bounces import settings as own
from services.bounces.kept import KeptMails
from shared.http.parts import Mounted, Parts
from shared.redis.return_paths import KnownReturnPaths


def routes(parts: Parts) -> Mounted:
    mine = parts.settings.of(own.Bounces)
    known = KnownReturnPaths(parts.client, parts.now_ms)
    bounces = wiring.bounces(
        parts.settings, parts.client, parts.publisher, parts.recipients, parts.verp, parts.tokens, known
    )
    kept = http.routes(KeptMails(parts.client, parts.now_ms))
    brought = inbound.routes(bounces, mine.max_mail_bytes, lambda: known.is_read)
    return Mounted([*kept, *brought], max_body_bytes=mine.max_mail_bytes, run=known.run)
