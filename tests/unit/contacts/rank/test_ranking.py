"""Runs of the rank that are due, where one of them fails."""

import asyncio

from services.contacts.base.database import DatabaseAway
from services.contacts.rank import ranking
from services.contacts.rank.asked import USUAL
from services.contacts.rank.run import Rank, Run


class Failing(Rank):
    """Of three tenants that are due the first cannot be ranked."""

    def __init__(self, stopping: asyncio.Event) -> None:
        self.stopping = stopping
        self.ran: list[tuple[int, float | None]] = []

    async def due(self, now_ms: int) -> list[int]:
        return [1, 2, 3]

    async def run(self, tenant: int, now_ms: int, most_s: float | None = None) -> Run:
        self.ran.append((tenant, most_s))
        if tenant == 1:
            raise DatabaseAway("timeout", "canceling statement due to statement timeout")
        if tenant == 3:
            self.stopping.set()
        return Run(now_ms, USUAL, [0] * 10)


async def test_a_tenant_whose_run_fails_keeps_no_other_waiting() -> None:
    stopping = asyncio.Event()
    rank = Failing(stopping)

    await ranking.work(rank, lambda: 0, stopping)

    assert rank.ran == [(1, ranking.MOST_S), (2, ranking.MOST_S), (3, ranking.MOST_S)]
