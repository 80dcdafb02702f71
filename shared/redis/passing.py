"""Reads on in a stream for a group that has no use for some of its messages: these are passed over in Redis, by their
names, and neither sent, nor decoded, nor kept in anybody's hand.

What is wanted is in the consumer's hand as after any other read (XREADGROUP); what is not is as read and acknowledged.
Both happen in one script, so nothing is lost where a reader dies.
"""

from collections.abc import Iterable, Mapping, Sequence

from shared.redis.redis import Client, Script
from shared.words import events

_READ = Script.of(__file__, "passing_read")


async def read(
    client: Client, stream: str, group: str, consumer: str, count: int, names: Iterable[str]
) -> tuple[int, list[tuple[bytes, Mapping[bytes, bytes]]]]:
    """How many entries were passed over, and those to be handled; up to `count` of both, and none if there is nothing
    to be read: it does not wait. RedisAway."""
    passed, found = await _READ(client, [stream], [group, consumer, count, events.MAJOR_VERSION, *names])
    return int(passed), [(number, _fields(flat)) for number, flat in found]


def _fields(flat: Sequence[bytes]) -> dict[bytes, bytes]:
    return dict(zip(flat[::2], flat[1::2], strict=True))
