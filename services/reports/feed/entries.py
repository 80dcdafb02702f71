"""Events by their places in the streams."""

from collections.abc import Sequence

from shared.redis import bus, keys
from shared.redis.redis import Client, Script

_AT = Script.of(__file__, "entries_at")


async def entries_at(client: Client, partition: int, stream_ids: Sequence[str]) -> list[bus.Entry | None]:
    """The events at these ids of a partition, None for each that is not retained any more. Raises RedisAway."""
    found = await _AT(client, [keys.events(partition)], stream_ids)
    return [bus.entry(entries[0][0], _fields(entries[0][1])) if entries else None for entries in found]


def _fields(flat: Sequence[bytes]) -> dict[bytes, bytes]:
    return dict(zip(flat[::2], flat[1::2], strict=True))
