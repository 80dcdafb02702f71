"""What is looked at whatever goes on: whether imports move, and whether a rank is overdue."""

from prometheus_client import Gauge

from services.contacts.imports.store import Imports
from services.contacts.rank.run import Rank

MOVED = Gauge(
    "estafette_contacts_import_moved_timestamp_seconds",
    "When something was last done for imports of contacts that have not ended; 0 if there are none",
)
OVERDUE = Gauge(
    "estafette_contacts_rank_overdue_seconds", "For how long the activity rank that waits longest has been due; 0: none"
)


async def look(imports: Imports, rank: Rank, now_ms: int) -> None:
    """Sets both. DatabaseAway."""
    MOVED.set(await imports.moved_s())
    OVERDUE.set(await rank.overdue_ms(now_ms) / 1000)
