"""`estafette tail`: the event streams as JSON lines, read by msgpack proper and so without our own codec.

What it prints is what any other program would find: the names of the fields come from the registry of facts, the bytes
are taken apart by a library that knows nothing of them.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence

import msgpack
import orjson

from shared.redis import keys
from shared.redis.redis import Client
from shared.words import events

#: Entries read at once.
COUNT = 100
BLOCK_MS = 1_000
#: Between two rounds over several streams, when the last one found nothing.
PAUSE_SECONDS = 0.2


async def read(
    client: Client, partitions: Iterable[int], *, fact: str | None, from_start: bool, follow: bool
) -> AsyncIterator[str]:
    """A line per event. Streams are read one after the other: in a cluster they are on different servers."""
    last = {keys.events(p): "0" if from_start else await _end(client, keys.events(p)) for p in partitions}
    while True:
        found = False
        for stream, after in list(last.items()):
            block = BLOCK_MS if follow and len(last) == 1 else None
            entries = await _after(client, stream, after, block)
            for entry_id, fields in entries:
                found = True
                last[stream] = entry_id
                if fact in (None, fields[b"t"].decode()):
                    yield line(stream, entry_id, fields)
        if not found and not follow:
            return
        if not found and len(last) > 1:
            await asyncio.sleep(PAUSE_SECONDS)


def line(stream: str, entry_id: str, fields: dict[bytes, bytes]) -> str:
    """One event as a JSON object: where it stands, its name, then its fields by name; unknown ones by number."""
    name = fields[b"t"].decode()
    message = events.MESSAGES.get(name)
    names: Sequence[str] = message.__struct_fields__ if message else ()
    values = msgpack.unpackb(fields[b"b"], raw=False)
    shown = {names[at] if at < len(names) else f"field_{at + 1}": value for at, value in enumerate(values)}
    whole = {"stream": stream, "id": entry_id, "fact": name, "version": int(fields[b"v"]), **shown}
    return orjson.dumps(whole, default=repr).decode()


async def _end(client: Client, stream: str) -> str:
    newest = await client.xrevrange(stream, count=1)
    return newest[0][0].decode() if newest else "0"


async def _after(client: Client, stream: str, after: str, block: int | None) -> list[tuple[str, dict[bytes, bytes]]]:
    read = await client.xread({stream: after}, count=COUNT, block=block)
    return [(entry_id.decode(), fields) for _, entries in read or () for entry_id, fields in entries]
