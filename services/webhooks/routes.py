"""The routes of webhooks, put together."""

from services.webhooks import http
from services.webhooks import settings as own
from services.webhooks.store import Store
from shared.http.parts import Mounted, Parts

DAY_MS = 86_400_000


def routes(parts: Parts) -> Mounted:
    mine = parts.settings.of(own.Webhooks)
    store = Store(parts.client, parts.partitions, queue_events=mine.queue_events, log_ms=mine.log_days * DAY_MS)
    return Mounted(http.routes(store, parts.vault, mine.policy(), mine.per_tenant, parts.now_ms, parts.chance))
