"""Looks at the contacts of every tenant once a day."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from prometheus_client import Counter

from services.contacts.base.database import DatabaseAway
from services.contacts.risk.run import Risk
from shared.process import logs
from shared.process.lifecycle import pause

LOOKS = Counter("estafette_contacts_risk_looks_total", "Looks for contacts at risk, one for each tenant and day")

#: Between two looks for tenants whose contacts are to be looked at.
_LOOK_S = 60.0
#: One tenant's may take so long.
MOST_S = 900.0

_log = logs.get_logger()


async def work(risk: Risk, now_ms: Callable[[], int], stopping: asyncio.Event) -> None:
    """Until it is to stop."""
    while not stopping.is_set():
        with suppress(DatabaseAway):  # what is due stays so
            for tenant in await risk.due(now_ms()):
                await _look(risk, tenant, now_ms())
        await pause(stopping, _LOOK_S)


async def _look(risk: Risk, tenant: int, now_ms: int) -> None:
    """One that fails keeps no other waiting: it stays due."""
    try:
        look = await risk.look(tenant, now_ms, MOST_S)
    except DatabaseAway as away:
        _log.warning("risk_failed", tenant_number=tenant, reason=str(away))
        return
    LOOKS.inc()
    _log.info("risk_looked", tenant_number=tenant, contacts=look.contacts)
