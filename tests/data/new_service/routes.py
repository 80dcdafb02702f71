"""The route of echo, put together."""

from services.echo import http

from shared.http.parts import Mounted, Parts


def routes(parts: Parts) -> Mounted:
    return Mounted(http.routes())
