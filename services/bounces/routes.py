"""The routes of kept mail, and that by which mail comes in, put together."""

from services.bounces import http, inbound, wiring
from services.bounces import settings as own
from services.bounces.kept import KeptMails
from shared.http.parts import Mounted, Parts


def routes(parts: Parts) -> Mounted:
    mine = parts.settings.of(own.Bounces)
    bounces = wiring.bounces(parts.settings, parts.client, parts.publisher, parts.recipients, parts.verp, parts.tokens)
    kept = http.routes(KeptMails(parts.client, parts.now_ms))
    return Mounted([*kept, *inbound.routes(bounces, mine.max_mail_bytes)], max_body_bytes=mine.max_mail_bytes)
