"""The routes of the suppression list, put together."""

from services.suppression import escalation_http, http, operators, people_http
from services.suppression import settings as own
from services.suppression.counts import Counts
from services.suppression.erasing import Erasing
from services.suppression.people import People
from services.suppression.rule_book import RuleBook
from services.suppression.store import Lists
from shared.http.parts import Mounted, Parts
from shared.redis.suppression import SuppressionList


def routes(parts: Parts) -> Mounted:
    lookup = SuppressionList(parts.client, parts.partitions, parts.now_ms)
    lists = Lists(parts.client, parts.partitions, parts.now_ms)
    counts = Counts(parts.client, parts.partitions)
    desk = http.Desk(lists, lookup, parts.partitions, parts.now_ms, lambda: parts.chance(8).hex(), counts.forget)
    rules = parts.settings.of(own.Suppression).rules
    book = RuleBook(parts.client, rules, parts.monotonic)
    erasing = Erasing(parts.client, parts.partitions, parts.publisher, parts.now_ms)
    known = People(parts.client, parts.partitions, parts.erasure_keys, erasing, parts.monotonic)
    return Mounted(
        [
            *http.routes(desk),
            *operators.routes(desk, parts.tenants, parts.publisher),
            *escalation_http.routes(book, rules),
            *people_http.routes(known, desk),
        ]
    )
