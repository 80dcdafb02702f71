"""Runs the rank of every tenant when it is due."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from prometheus_client import Counter

from services.contacts.base.database import DatabaseAway
from services.contacts.rank.run import Rank
from shared.process import logs
from shared.process.lifecycle import pause

RUNS = Counter("estafette_contacts_rank_runs_total", "Runs of the activity rank that were due")

#: Between two looks for tenants whose contacts are to be ranked anew.
_LOOK_S = 60.0
#: A run may take so long.
MOST_S = 900.0

_log = logs.get_logger()


async def work(rank: Rank, now_ms: Callable[[], int], stopping: asyncio.Event) -> None:
    """Until it is to stop."""
    while not stopping.is_set():
        with suppress(DatabaseAway):  # what is due stays so
            for tenant in await rank.due(now_ms()):
                await _run(rank, tenant, now_ms())
        await pause(stopping, _LOOK_S)


async def _run(rank: Rank, tenant: int, now_ms: int) -> None:
    """One that fails keeps no other waiting: it stays due."""
    try:
        await rank.run(tenant, now_ms, MOST_S)
    except DatabaseAway as away:
        _log.warning("rank_failed", tenant_number=tenant, reason=str(away))
        return
    RUNS.inc()
    _log.info("activity_ranked", tenant_number=tenant)
