"""The routes of kept mail, put together."""

from services.bounces import http
from services.bounces.kept import KeptMails
from shared.http.parts import Mounted, Parts


def routes(parts: Parts) -> Mounted:
    return Mounted(http.routes(KeptMails(parts.client, parts.now_ms)))
