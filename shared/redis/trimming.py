"""What is old is removed from the event streams, once everybody who is registered to read it is done with it.

What is not in the feeds yet (`keys.feed_mark`) is not removed either, nor what is in no file where there is to be an
archive; and the last that may be is written down, so that
who follows the feed is told when something was missed.

A service that was never started holds nothing back. One that has been silent for longer than facts are kept holds
nothing back any more; when it reads again, it does. Silence is counted by whoever trims, and only while it looks: an
installation that stood still as a whole loses nothing, its readers have all their time again.
"""

from shared.redis import archived, keys
from shared.redis.redis import Client, Refused, Script

#: Between two looks of whoever trims no more than this counts as silence of a reader: what stood still together with
#: the readers accuses none of them.
LONGEST_LOOK_MS = 300_000

_HOLDING = Script.of(__file__, "trimming_holding")


async def trim(client: Client, partition: int, before_ms: int, silent_ms: int, is_archived: bool = False) -> int:
    """Removes facts older than `before_ms`, none that a registered group has yet to acknowledge. Returns how many.

    A group whose consumers have been silent for longer than `silent_ms` (the retention) is passed over. Silence is
    counted by these calls themselves, so an installation that stood still as a whole loses nothing: its readers have
    until then again. While nobody is registered nothing is removed.

    `is_archived`: there is to be an archive, so what is in none of its files stays, however long that takes."""
    stream = keys.events(partition)
    limit = f"{before_ms}-0"
    found = await _HOLDING(client, [keys.readers(stream)], [LONGEST_LOOK_MS, silent_ms])
    try:
        known = {group["name"].decode(): group for group in await client.xinfo_groups(stream)}
    except Refused:
        return 0
    groups = [group.decode() for group in found]
    if not groups:
        return 0
    for group in groups:
        if group not in known:
            return 0
        limit = min(limit, known[group]["last-delivered-id"].decode(), key=_position)
        pending = await client.xpending(stream, group)
        if pending["pending"]:
            limit = min(limit, pending["min"].decode(), key=_position)
    if mark := await client.get(keys.feed_mark(partition)):
        limit = min(limit, mark.decode(), key=_position)
    if is_archived:
        limit = min(limit, await archived.position(client, partition), key=_position)
    if _position(limit) == (0, 0):
        return 0
    await _note(client, partition, limit)
    return await client.xtrim(stream, minid=limit, approximate=True)


async def _note(client: Client, partition: int, limit: str) -> None:
    """The last entry that goes, written down before it does."""
    going = await client.xrevrange(keys.events(partition), f"({limit}", "-", count=1)
    if going:
        await client.set(keys.trimmed(partition), going[0][0])


def _position(stream_id: str) -> tuple[int, int]:
    milliseconds, _, number = stream_id.partition("-")
    return int(milliseconds), int(number or 0)
