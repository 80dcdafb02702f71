"""Events by their places in the streams."""

from collections.abc import Sequence

from shared.redis import bus, keys
from shared.redis.redis import Client, Script

_AT = Script.of(__file__, "entries_at")


async def entries_at(client: Client, partition: int, stream_ids: Sequence[str]) -> list[bus.Entry | None]:
    """The events at these ids of a partition, None for each that is not retained any more. Raises RedisAway."""
    found = iter(await _AT(client, [keys.events(partition)], stream_ids))
    return [
        bus.Entry(stream_id, name.decode("utf-8", "replace"), int(version) if version.isdigit() else 0, body)
        if name
        else None
        for stream_id, name, version, body in zip(stream_ids, found, found, found, strict=True)
    ]
