"""Values of maps of addresses are changed where they still are what was read: who decides in Python needs no lock."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import NamedTuple

from shared.redis import addressed
from shared.redis.redis import Client, Script
from shared.words.ids import address_partition

_CHANGE = Script.of(__file__, "changing_change", begins=addressed.LUA, kept=True)


class Value(NamedTuple):
    """Of an address in a tenant's map (`key` spells its base): as it was read, and as it is to be; b"": none."""

    key: Callable[[int, str], str]
    tenant: str
    address: str
    old: bytes
    new: bytes


async def change(client: Client, partitions: int, values: Sequence[Value]) -> list[bool]:
    """For each whether it was changed: not if somebody else has. One script call a partition. Raises RedisAway."""
    made = [False] * len(values)
    places: dict[int, list[int]] = defaultdict(list)
    for index, value in enumerate(values):
        places[address_partition(value.tenant, value.address, partitions)].append(index)
    for p, indexes in places.items():
        names = [values[index].key(p, values[index].tenant) for index in indexes]
        args: list[str | bytes | int] = []
        for index in indexes:
            args += values[index][2:]
        for index, number in zip(indexes, await _CHANGE(client, names, args), strict=True):
            made[index] = number == 1
    return made
