"""The routes of the suppression list, put together."""

from services.suppression import http
from services.suppression.store import Lists
from shared.http.parts import Mounted, Parts
from shared.redis.suppression import SuppressionList


def routes(parts: Parts) -> Mounted:
    lists, lookup = Lists(parts.client, parts.partitions), SuppressionList(parts.client, parts.partitions)
    return Mounted(http.routes(lists, lookup, parts.partitions, parts.now_ms, lambda: parts.chance(8).hex()))
