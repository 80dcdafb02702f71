"""The routes of drops, put together."""

from services.reports.drops import http
from services.reports.drops import settings as own
from services.reports.drops.store import Store
from shared.http.parts import Mounted, Parts


def routes(parts: Parts) -> Mounted:
    mine = parts.settings.of(own.Drops)
    return Mounted(
        http.routes(
            Store(parts.client),
            parts.vault,
            mine.policy(),
            mine.per_tenant,
            parts.now_ms,
            parts.chance,
            has_folder=bool(mine.folder),
            enabled=mine.enabled,
        )
    )
