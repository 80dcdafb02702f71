"""What goes to each site: messages a second that it took, over the last seconds, as relays count them together."""

import asyncio
from collections import defaultdict

from shared.redis import keys
from shared.redis.redis import Client
from shared.words.pace import BUCKET_MS

#: Whole buckets that are looked at: 15 seconds.
BUCKETS = 3


async def rates_per_s(client: Client, now_ms: int) -> dict[str, float]:
    """By site; of others nothing went. Raises RedisAway."""
    last = now_ms // BUCKET_MS
    names = [keys.attempts(bucket) for bucket in range(last - BUCKETS, last)]
    taken: defaultdict[str, int] = defaultdict(int)
    for counts in await asyncio.gather(*map(client.hgetall, names)):
        for pair, count in counts.items():
            site, _, source = pair.decode().partition("\n")
            if not source.endswith("\n-"):  # those are what was refused
                taken[site] += int(count)
    return {site: count * 1000 / (BUCKETS * BUCKET_MS) for site, count in taken.items()}
