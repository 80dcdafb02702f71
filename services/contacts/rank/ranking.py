"""Runs the rank of every tenant when it is due."""

import asyncio
from collections.abc import Callable

from prometheus_client import Counter

from services.contacts.base.database import DatabaseAway
from services.contacts.rank.run import Rank
from shared.process import logs
from shared.process.lifecycle import pause

RUNS = Counter("estafette_contacts_rank_runs_total", "Runs of the activity rank that were due")

#: Between two looks for tenants whose contacts are to be ranked anew.
_LOOK_S = 60.0

_log = logs.get_logger()


async def work(rank: Rank, now_ms: Callable[[], int], stopping: asyncio.Event) -> None:
    """Until it is to stop."""
    while not stopping.is_set():
        try:
            for tenant in await rank.run_due(now_ms()):
                RUNS.inc()
                _log.info("activity_ranked", tenant_number=tenant)
        except DatabaseAway:
            pass  # what is due stays so
        await pause(stopping, _LOOK_S)
