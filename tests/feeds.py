"""Feeds as the tests need them: up to date."""

from typing import Any

from services.reports.feed.indexing import Indexing


async def catch_up(client: Any, partitions: int, indexing: Indexing | None = None) -> None:
    """Until feeds have what is on every partition's stream now; by the clock of these all events are kept."""
    indexing = indexing or Indexing(client, partitions, 10**13, 100, lambda: 0)
    for partition in range(partitions):
        while await indexing.step(partition):
            pass
