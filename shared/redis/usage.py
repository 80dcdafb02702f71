"""What each tenant used, day by day: agreed between those who count it (reports its mails and what it keeps, the
processes of HTTP its calls) and those who show it.

A hash (`keys.usage`) has 32 days of a tenant; a field is a word and a day since 1970 (UTC), as `delivered:20485`:

    accepted, delivered   messages that were taken up to be sent, and that a host took
    calls                 requests with a key of the tenant that were let in
    bytes                 the most that was kept at one time, of what the quota `stored_bytes` counts

Mails are in the partition of their job, the others in that of the tenant's name. Nothing of tests is counted.
"""

import asyncio
from collections.abc import Mapping

import msgspec

from shared.redis import keys
from shared.redis.redis import Client, Script
from shared.words import ids

WINDOW_DAYS = 32
#: 25 months: two years, and the month in which somebody looks for the same one of the year before last.
KEPT_DAYS = 25 * 31
DAY_MS, HOUR_MS = 86_400_000, 3_600_000
#: Content counts for the quota that long; hours that are older are forgotten by whoever reads them for it.
_CONTENT_HOURS = 24
#: A batch of calls that may have been counted is repeated for as long as Redis is away, and this is longer.
COUNTED_MS = DAY_MS

_SEE = Script.of(__file__, "usage_see")
_CALLS = Script.of(__file__, "usage_calls")


class Used(msgspec.Struct, frozen=True, kw_only=True):
    """What was used in a day, or in several: then the bytes are the most of any of them."""

    accepted: int = 0
    delivered: int = 0
    calls: int = 0
    bytes: int = 0

    def __add__(self, other: "Used") -> "Used":
        return Used(
            accepted=self.accepted + other.accepted,
            delivered=self.delivered + other.delivered,
            calls=self.calls + other.calls,
            bytes=max(self.bytes, other.bytes),
        )

    def beside(self, other: "Used") -> "Used":
        """What two tenants used in one day: what both keep is there at a time."""
        return msgspec.structs.replace(self + other, bytes=self.bytes + other.bytes)


def field(word: str, day: int) -> str:
    """The field of a hash."""
    return f"{word}:{day}"


def window_of(day: int) -> int:
    """Which hash of a tenant a day is in."""
    return day // WINDOW_DAYS


def until_ms(window: int) -> int:
    """Until when that hash is kept."""
    return ((window + 1) * WINDOW_DAYS + KEPT_DAYS) * DAY_MS


async def read(client: Client, partitions: int, tenant: str, first: int, last: int) -> dict[int, Used]:
    """Of these days since 1970, those of which there is anything. Raises RedisAway."""
    windows = range(window_of(first), window_of(last) + 1)
    places = [keys.usage(p, tenant, window) for window in windows for p in range(partitions)]
    found: dict[int, dict[str, int]] = {}
    for stored in await asyncio.gather(*(client.hgetall(place) for place in places)):
        for name, number in stored.items():
            word, _, day = name.decode().partition(":")
            if first <= int(day) <= last:
                of_day = found.setdefault(int(day), {})
                of_day[word] = of_day.get(word, 0) + int(number)
    return {day: msgspec.convert(found[day], Used) for day in sorted(found)}


def kept_bytes(use: Mapping[bytes, bytes], now_ms: int) -> int:
    """Of a hash `keys.use`: what counts for the quota `stored_bytes`."""
    since = now_ms // HOUR_MS - _CONTENT_HOURS
    named = ((name.partition(b":"), int(number)) for name, number in use.items())
    return sum(
        number for (word, _, hour), number in named if word == b"bytes" or (word == b"content" and int(hour) >= since)
    )


async def see_bytes(client: Client, partitions: int, tenant: str, now_ms: int) -> None:
    """Looks how much the tenant keeps, and remembers it if it is the most of the day. Raises RedisAway; it may be
    repeated."""
    uses = await asyncio.gather(*(client.hgetall(keys.use(p, tenant)) for p in range(partitions)))
    most = sum(kept_bytes(use, now_ms) for use in uses)
    if most > 0:
        day = now_ms // DAY_MS
        place = keys.usage(ids.name_partition(tenant, partitions), tenant, window_of(day))
        await _SEE(client, [place], [field("bytes", day), most, until_ms(window_of(day))])


async def count_calls(client: Client, p: int, process: str, batch: int, calls: Mapping[tuple[str, int], int]) -> None:
    """Adds calls, by tenant and day, of a partition. A batch that the process has counted already is not counted
    again: after RedisAway it is repeated under its number."""
    names = [keys.calls_counted(p, process)]
    args: list[str | bytes | int] = [batch, COUNTED_MS]
    for (tenant, day), number in calls.items():
        names.append(keys.usage(p, tenant, window_of(day)))
        args += [field("calls", day), number, until_ms(window_of(day))]
    await _CALLS(client, names, args)
