"""Reads events and forgets them."""

from collections.abc import Sequence

from prometheus_client import Counter

from shared.redis import bus

READ = Counter("estafette_echo_read_total", "Events read")


class Echo:
    async def read(self, partition: int, entries: Sequence[bus.Entry]) -> None:
        READ.inc(len(entries))
