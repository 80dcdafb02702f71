"""The routes of the suppression list, put together."""

from services.suppression import http, memberships_http, operators, rules_http
from services.suppression.memberships import Memberships
from services.suppression.rules import Rules
from services.suppression.store import Lists
from shared.http.parts import Mounted, Parts
from shared.redis.members import Members
from shared.redis.suppression import SuppressionList


def routes(parts: Parts) -> Mounted:
    lookup = SuppressionList(parts.client, parts.partitions, parts.now_ms)
    lists = Lists(parts.client, parts.partitions, parts.now_ms)
    desk = http.Desk(lists, lookup, parts.partitions, parts.now_ms, lambda: parts.chance(8).hex())
    quotas = parts.settings.quotas.by_name()
    members = Members(parts.client, parts.partitions)
    memberships = Memberships(members, lists, lookup, parts.now_ms, lambda: parts.chance(8).hex())
    rules = Rules(parts.client, parts.publisher, parts.now_ms, lambda: parts.chance(8).hex())
    return Mounted([
        *http.routes(desk),
        *operators.routes(desk, parts.tenants, parts.publisher),
        *rules_http.routes(rules, quotas, parts.now_ms),
        *memberships_http.routes(memberships, parts.partitions, quotas),
    ])  # fmt: skip
