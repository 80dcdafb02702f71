"""Feeds as the tests need them: up to date; and lists of messages beside them."""

from typing import Any

from services.reports.feed.indexing import Indexing, Kept
from services.reports.message_list import MessageList
from shared.redis.histories import Histories
from shared.words.erased import ErasureKeys

SECRETS = ErasureKeys(b"k" * 32)


async def catch_up(client: Any, partitions: int, indexing: Indexing | None = None) -> None:
    """Until feeds have what is on every partition's stream now; by the clock of these all events are kept."""
    indexing = indexing or Indexing(client, partitions, Kept(10**13, 10**12, 100), SECRETS, lambda: 0)
    for partition in range(partitions):
        while await indexing.step(partition):
            pass


def message_list(client: Any, partitions: int, now_ms: int) -> MessageList:
    """With time enough for everything."""
    return MessageList(client, partitions, Histories(client, partitions, 90), SECRETS, lambda: now_ms, lambda: 0.0)
