"""What is looked at whatever goes on: whether imports move, what is overdue, and what waits to be told."""

from prometheus_client import Gauge

from services.contacts.base import stated
from services.contacts.base.database import Database
from services.contacts.imports.store import Imports
from services.contacts.outbox.telling import Telling
from services.contacts.rank.run import Rank
from services.contacts.risk.run import Risk

MOVED = Gauge(
    "estafette_contacts_import_moved_timestamp_seconds",
    "When something was last done for imports of contacts that have not ended; 0 if there are none",
)
OVERDUE = Gauge(
    "estafette_contacts_rank_overdue_seconds", "For how long the activity rank that waits longest has been due; 0: none"
)
RISK_OVERDUE = Gauge(
    "estafette_contacts_risk_overdue_seconds",
    "For how long the look for contacts at risk that waits longest has been due; 0: none",
)
UNTOLD = Gauge(
    "estafette_contacts_untold_rows", "Events of contacts that are not on the streams yet, 100,000 at most are counted"
)
UNTOLD_S = Gauge("estafette_contacts_untold_seconds", "For how long the oldest of them has waited; 0: none waits")

UNSTATED = Gauge(
    "estafette_contacts_unstated_timestamp_seconds",
    "Since when something that contacts say of their address waits for suppression to be told; 0: nothing does",
)


async def look(database: Database, imports: Imports, rank: Rank, risk: Risk, telling: Telling, now_ms: int) -> None:
    """Sets all of them. DatabaseAway."""
    UNSTATED.set(await stated.since_s(database))
    MOVED.set(await imports.moved_s())
    OVERDUE.set(await rank.overdue_ms(now_ms) / 1000)
    RISK_OVERDUE.set(await risk.overdue_ms(now_ms) / 1000)
    waiting = await telling.waiting()
    UNTOLD.set(waiting.rows)
    UNTOLD_S.set(waiting.oldest_s)
