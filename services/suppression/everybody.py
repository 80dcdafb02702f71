"""Everybody of whom a tenant keeps something beside jobs, page by page, with the day on which they were last heard of.

There is no list of all of them: they are in maps, one for each thing that is kept (`forgetting.py`). So these are gone
through one after another, each in the order that never changes, and who is in several is shown with the first. Counts
of soft bounces are no such map: they go by themselves, within half a year.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from services.suppression import retention
from shared.redis import addressed, keys, members, suppression
from shared.redis.addressed import Addressed
from shared.redis.members import Members
from shared.redis.redis import Client
from shared.words import consent

#: Addresses of one step.
STEP = 500


class Place(msgspec.Struct, frozen=True, array_like=True):
    """How far a page has come: in that map ("" is before all), behind that place."""

    map: str = ""
    place: addressed.Place = addressed.Place()


class Somebody(NamedTuple):
    """A normalised address, when it was last heard of, and when the tenant was warned, in days since 1970; 0: never."""

    address: str
    last_day: int
    warned_day: int


class _Map(NamedTuple):
    """`day` of a value is when that was said by which somebody is in the map; 0: it keeps nobody."""

    name: str
    held: Addressed
    day: Callable[[bytes], int]


class Everybody:
    """Every method raises RedisAway."""

    def __init__(self, client: Client, partitions: int) -> None:
        self._client = client
        self._partitions = partitions
        self._members = Members(client, partitions)

    async def page(self, tenant: str, after: Place, limit: int) -> tuple[list[Somebody], Place | None]:
        """At most `limit`, and the place to go on from, None at the end. A page may have fewer, even none, and yet a
        place to go on from."""
        maps = await self._maps(tenant)
        here = next((at for at, one in enumerate(maps) if one.name >= after.map), None)
        if here is None:
            return [], None
        within = after.place if maps[here].name == after.map else addressed.Place()
        held, place = await maps[here].held.page(tenant, within, min(limit, STEP))
        found = await self._known(tenant, maps, here, [one.address for one in held])
        if place is not None:
            return found, Place(maps[here].name, place)
        return found, Place(maps[here + 1].name) if here + 1 < len(maps) else None

    async def _maps(self, tenant: str) -> list[_Map]:
        """By their names."""
        partitions, client = self._partitions, self._client
        found = [
            _Map("1", Addressed(client, partitions, keys.interactions), _of_interactions),
            _Map("2", Addressed(client, partitions, keys.consents), _of_consents),
            _Map("3", Addressed(client, partitions, keys.suppressions), _of_entries),
        ]
        found += [
            _Map(f"4{name}\n{state}", self._members.map(name, state), _of_a_list)
            for name in await self._members.names(tenant)
            for state in members.STATES
        ]
        return sorted(found, key=lambda one: one.name)

    async def _known(self, tenant: str, maps: Sequence[_Map], here: int, addresses: Sequence[str]) -> list[Somebody]:
        """Those of the addresses that no map before this one has."""
        if not addresses:
            return []
        asked = [(tenant, address) for address in addresses]
        columns = [await one.held.get_many(asked) for one in maps]
        found: list[Somebody] = []
        for address, values in zip(addresses, zip(*columns, strict=True), strict=True):
            days = [one.day(value) if value is not None else 0 for one, value in zip(maps, values, strict=True)]
            warned_day = retention.decode(values[0]).warned_day if values[0] is not None else 0
            if not any(days):
                # Nothing is left but that the tenant was warned: that was the last of it.
                days[0] = warned_day
            if days[here] and not any(days[:here]):
                found.append(Somebody(address, max(days), warned_day))
        return found


def _of_interactions(value: bytes) -> int:
    return retention.decode(value).last_day


def _of_consents(value: bytes) -> int:
    return retention.of_consent(consent.decode(value))


def _of_entries(value: bytes) -> int:
    return retention.of_entries(suppression.entries(value))


def _of_a_list(value: bytes) -> int:
    return retention.day_of(int(value))
