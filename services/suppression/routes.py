"""The routes of the suppression list, put together."""

from services.suppression import http, operators, rules_http
from services.suppression.rules import Rules
from services.suppression.store import Lists
from shared.http.parts import Mounted, Parts
from shared.redis.suppression import SuppressionList


def routes(parts: Parts) -> Mounted:
    lookup = SuppressionList(parts.client, parts.partitions, parts.now_ms)
    lists = Lists(parts.client, parts.partitions, parts.now_ms)
    desk = http.Desk(lists, lookup, parts.partitions, parts.now_ms, lambda: parts.chance(8).hex())
    rules = Rules(parts.client, parts.publisher, parts.now_ms, lambda: parts.chance(8).hex())
    return Mounted([
        *http.routes(desk),
        *operators.routes(desk, parts.tenants, parts.publisher),
        *rules_http.routes(rules, parts.settings.quotas.by_name(), parts.now_ms),
    ])  # fmt: skip
