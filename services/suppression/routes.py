"""The routes of the suppression list, put together."""

from services.suppression import http, operators
from services.suppression.book import Book
from services.suppression.moving import http as moving_http
from services.suppression.moving.http import Moving
from services.suppression.moving.imports import Imports
from services.suppression.moving.running import Runs
from services.suppression.moving.softs import Softs
from services.suppression.store import Lists
from shared.http.parts import Mounted, Parts
from shared.redis.suppression import SuppressionList


def routes(parts: Parts) -> Mounted:
    lookup = SuppressionList(parts.client, parts.partitions, parts.now_ms)
    lists = Lists(parts.client, parts.partitions, parts.now_ms)
    desk = http.Desk(lists, lookup, parts.partitions, parts.now_ms, lambda: parts.chance(8).hex())
    moving = _moving(parts, lists)
    return Mounted(
        [*http.routes(desk), *operators.routes(desk, parts.tenants, parts.publisher), *moving_http.routes(moving)],
        close=moving.close,
    )


def _moving(parts: Parts, lists: Lists) -> Moving:
    book = Book(parts.client, parts.partitions, lists)
    imports = Imports(parts.client, parts.partitions, parts.now_ms)
    runs = Runs(book, Softs(), imports, parts.now_ms, parts.monotonic)
    return Moving(runs, book, lambda: parts.chance(8).hex())
