"""The routes of stops, put together."""

from services.breakers import http
from services.breakers.store import FigureStore
from shared.http.parts import Mounted, Parts
from shared.redis.stops import StopList


def routes(parts: Parts) -> Mounted:
    figures = FigureStore(parts.client, parts.partitions)
    return Mounted(http.routes(StopList(parts.client), figures, parts.publisher, parts.now_ms))
