"""How far the archive is in each stream of events: what is behind it lies in durable files, and may go from Redis."""

from shared.redis import keys
from shared.redis.redis import Client


async def position(client: Client, partition: int) -> str:
    """The id of the last entry that is in the archive; `0-0`: none is. Raises RedisAway."""
    known = await client.hget(keys.archive(partition), "position")
    return "0-0" if known is None else known.decode()


async def begin(client: Client, partition: int) -> str:
    """The id of the entry behind which the archive has all; what was trimmed before it began is nowhere. Raises
    RedisAway."""
    known = await client.hget(keys.archive(partition), "begin")
    return "0-0" if known is None else known.decode()


async def oldest_outside_ms(client: Client, partition: int) -> int | None:
    """When the first entry that is not in the archive was written (ms); None if all are. Raises RedisAway."""
    found = await client.xrange(keys.events(partition), f"({await position(client, partition)}", "+", count=1)
    return int(found[0][0].partition(b"-")[0]) if found else None
