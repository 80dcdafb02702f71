"""Jobs that wait for some process, one at a time: a sorted set by when each may be taken up. Whoever takes one up says
again and again that it is there; of whom nothing is heard is followed by another."""

from shared.redis.redis import Client, Script

_CLAIM = Script.of(__file__, "due_claim")


async def claim(client: Client, name: str, now_ms: int, until_ms: int) -> str | None:
    """A job of the sorted set of that name, which others leave alone until then; None if none is due. RedisAway."""
    found = await _CLAIM(client, [name], [now_ms, until_ms])
    return found.decode() if found else None
