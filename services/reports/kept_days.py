"""Of which days Redis has a tenant's statistics: those within `reports.statistics_days`, but for what was forgotten
while that was less. Whoever reads looks for older ones in the archive."""

from shared.redis import keys
from shared.redis.redis import Client


async def note(client: Client, days: int, today: int) -> None:
    """Statistics are kept for so many days from `today` (since 1970) on. Raises RedisAway."""
    known, since = await client.hmget(keys.statistics_kept(), ["days", "since"])
    first = int(since or 0)
    if known is not None and int(known) < days:
        first = max(first, today - int(known))
    await client.hset(keys.statistics_kept(), "since", first)
    await client.hset(keys.statistics_kept(), "days", days)


async def first_day(client: Client, days: int, today: int) -> int:
    """Since 1970, the first of which Redis has all. Raises RedisAway."""
    since = (await client.hmget(keys.statistics_kept(), ["since"]))[0]
    return max(today - days, int(since or 0))
