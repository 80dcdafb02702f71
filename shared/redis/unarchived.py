"""Days of tenants' statistics that the archive does not have as they are: they stay in Redis until it has.

Whoever puts numbers away marks their day, in the same step, with how many batches had been put away by then. The
archive reads the mark, then the day, writes its file, and takes the mark away if it is still the same; from then on the
day has its time, and goes. So whoever dies, and wherever, a day is in a file as it was last, or is marked.
"""

from typing import NamedTuple

from shared.redis import keys
from shared.redis.redis import Client, Script

#: Marks that are read at a time.
READ = 500

_SETTLE = Script.of(__file__, "unarchived_settle", kept=True)


class Marked(NamedTuple):
    """A tenant's day since 1970 in a partition, and its mark."""

    tenant: str
    day: int
    mark: bytes


def field(tenant: str, day: int) -> str:
    """Under which a day is marked in the hash."""
    return f"{tenant}/{day}"


async def marked(client: Client, partition: int) -> list[Marked]:
    """All days of a partition that are marked. Raises RedisAway."""
    found: dict[bytes, bytes] = {}
    cursor = 0
    while True:
        cursor, some = await client.hscan(keys.statistics_unarchived(partition), cursor, count=READ)
        found |= some
        if not cursor:
            break
    days = []
    for name, mark in found.items():
        tenant, _, day = name.decode().partition("/")
        days.append(Marked(tenant, int(day), mark))
    return sorted(days)


async def settle(client: Client, partition: int, day: Marked) -> bool:
    """The archive has it as it was when the mark was read, or there is no archive any more. Whether it still is as it
    was. Raises RedisAway."""
    names = [keys.statistics_unarchived(partition), keys.statistics(partition, day.tenant, day.day)]
    until_ms = day.mark.partition(b" ")[2]
    return bool(await _SETTLE(client, names, [field(day.tenant, day.day), day.mark, until_ms]))
