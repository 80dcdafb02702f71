"""Data of schema 1 becomes data of schema 2: suppression lists, which were a hash and an index, become maps of entries.

Whoever starts first begins, and several may do it at once: each step takes some addresses from an old list to the new
one, whole, and a start that was broken off goes on where it stood. Nothing that asks the lists begins before it is
done. Of one list an unsubscription stopped everything; now it stops marketing, as a complaint does: who left goes on
getting none of that, and gets what they ask for again.

The old lists stay for a day, for programs of schema 1 that have not been stopped yet.
"""

from shared.process import logs
from shared.redis import addressed, keys, lua
from shared.redis.redis import Client, Script
from shared.redis.suppression import Said
from shared.redis.tenants import Tenants
from shared.words import scopes
from shared.words.scopes import Entry, Reason

#: Addresses of one step: some milliseconds.
_BATCH = 500
#: In ms: as long as the old lists stay.
_KEPT_MS = 86_400_000
#: What the installation's hash says once it is done.
_MARK, _DONE = "converted", b"2"
#: What an old record's reason is now.
_FORMER: tuple[Reason, ...] = ("hard_bounce", "manual", "unsubscribed", "complaint")

_SUPPRESSED = Script.of(
    __file__, "conversion_suppressed", names=lua.places(ENTRY=Entry, SAID=Said), begins=addressed.LUA, kept=True
)


async def convert(client: Client, partitions: int) -> int:
    """How many addresses were converted; 0 if that was done before. RedisAway."""
    if await client.hget(keys.installation(), _MARK) == _DONE:
        return 0
    words: list[str | bytes | int] = [_BATCH, _KEPT_MS]
    for reason in _FORMER:
        made = scopes.entry(reason, scopes.usual(reason))
        words += [reason, made.kind, made.strength]
    total = 0
    for tenant in [known.name for known in await Tenants(client).all()]:
        for p in range(partitions):
            names = [
                keys.former_suppressed_index(p, tenant),
                keys.former_suppressed(p, tenant),
                keys.suppressions(p, tenant),
                keys.suppressions_said(p, tenant),
            ]
            while moved := await _SUPPRESSED(client, names, words):
                total += int(moved)
    await client.hset(keys.installation(), _MARK, _DONE)
    if total:
        logs.get_logger().warning("lists_converted", addresses=total)
    return total
