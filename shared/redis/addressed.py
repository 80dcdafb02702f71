"""Maps from a tenant's addresses to small values: ten bytes an address more than the address and the value have.

A hash of Redis takes about a hundred bytes for each field beside what the field holds; a small one is a listpack, and
takes three. So a map is cut into buckets of about forty addresses, each a small hash. It grows by linear hashing
(Litwin, 1980): whenever an address comes that would make more than forty to a bucket, one bucket is split, in the same
step, and never all of them at once.

    <base>        hash: `count`, `buckets`. `keys.py` spells it, with the partition of the address and the tenant
    <base>:<n>    hash, address → value: bucket n, the addresses whose 32-bit hash ends in the bits of n

The hash of an address is the first four bytes of its SHA-1, which Lua and Python both have. Splitting a bucket looks at
one bit more of it, from the right; so if hashes are ordered by their bits from right to left, a bucket is a stretch of
that order, and a split cuts it in two. The order of (reversed hash, address) therefore never changes, whatever comes,
goes or is split: it is that of pages, and how far a page has come is a place in it.

A value should have 64 bytes at most, or Redis keeps its bucket in the form that takes more; an address, too. (What does
not fit stands in a second map for those that have it.) Whoever changes a map does it in a script of their own, with
what belongs to it in one step: `Script.of(__file__, "…", begins=addressed.LUA)` has `addressed_get`, `addressed_set`
and `addressed_delete` (`addressed_common.lua` says how they are called).
"""

from collections.abc import AsyncIterator, Callable, Sequence
from hashlib import sha1
from struct import unpack
from typing import Any, NamedTuple
from zlib import crc32

import msgspec

from shared.redis.commands import Value
from shared.redis.redis import Client, Script, answer, lua_of
from shared.words.ids import address_prefix

#: What scripts that use a map begin with.
LUA = lua_of(__file__, "addressed_common")

#: The end of the order of reversed hashes.
END = 2**32
#: Buckets that one step of a page looks into, if they are empty: of a map from which nearly all was taken.
_BUCKETS_A_STEP = 1000
#: Addresses of one step: a script of so many takes some milliseconds.
_ADDRESSES_A_STEP = 2000

_GET = Script.of(__file__, "addressed_common", "addressed_get")
_PAGE = Script.of(__file__, "addressed_common", "addressed_page")
#: A copy of it is made in a third of the time of a new one.
_empty = sha1(usedforsecurity=False)
_REVERSED_BITS = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


class Place(msgspec.Struct, frozen=True, array_like=True):
    """How far a page has come: behind this address, which has that reversed hash, in that partition. "" is before all
    addresses of that hash."""

    partition: int = 0
    reversed: int = 0
    address: str = ""


class Held(NamedTuple):
    """What a map has of an address."""

    address: str
    value: bytes


class Addressed:
    """A map of each tenant. `key` is the function of `keys.py` that spells its base, of partition and tenant. Every
    method raises RedisAway."""

    def __init__(self, client: Client, partitions: int, key: Callable[[int, str], str]) -> None:
        self._client = client
        self._partitions = partitions
        self._key = key

    async def get_many(self, asked: Sequence[tuple[str, str]]) -> list[bytes | None]:
        """For each tenant and address the value, None where there is none: in one round trip; in a cluster one to each
        server, at the same time."""
        return (await self.get_many_and(asked))[0]

    async def get_many_and(
        self, asked: Sequence[tuple[str, str]], command: Sequence[Value] = ()
    ) -> tuple[list[bytes | None], Any]:
        """As `get_many`, and what a command that only reads answers in the same round trip."""
        values: list[bytes | None] = [None] * len(asked)
        groups: dict[str, tuple[int, list[tuple[list[int], list[bytes]]]]] = {}
        for index, (tenant, address) in enumerate(asked):
            known = groups.get(tenant)
            if known is None:
                known = groups[tenant] = address_prefix(tenant), [([], []) for _ in range(self._partitions)]
            prefix, places = known
            raw = address.encode()
            indexes, addresses = places[crc32(raw, prefix) % len(places)]
            indexes.append(index)
            addresses.append(raw)
        asked_of: list[list[int]] = []
        calls: list[tuple[list[str], list[bytes]]] = []
        for tenant, (_, places) in groups.items():
            for p, (indexes, addresses) in enumerate(places):
                if indexes:
                    asked_of.append(indexes)
                    calls.append(([self._key(p, tenant)], [_hashes(addresses), *addresses]))
        answers = await _GET.many(self._client, calls, command)
        for indexes, found in zip(asked_of, answers, strict=False):
            for at in range(0, len(found), 2):
                values[indexes[found[at]]] = found[at + 1]
        return values, answers[-1] if command else None

    async def get(self, tenant: str, address: str) -> bytes | None:
        """The value of one address."""
        return (await self.get_many([(tenant, address)]))[0]

    async def count(self, tenant: str) -> int:
        """How many addresses there are."""
        pipeline = self._client.pipeline(transaction=False)
        for p in range(self._partitions):
            pipeline.hmget(self._key(p, tenant), ["count"])
        return sum(int(count or 0) for (count,) in await answer(pipeline.execute()))

    async def page(self, tenant: str, after: Place, limit: int) -> tuple[list[Held], Place | None]:
        """At most `limit` (at least 1) addresses behind that place, and the place to go on from, None at the end.
        Partition by partition, in each in the order of (reversed hash, address). What is there all the time is shown
        once, whatever else comes and goes."""
        found: list[tuple[int, int, Held]] = []
        place = after
        while place.partition < self._partitions and len(found) <= limit:
            p = place.partition
            some, place = await self._step(tenant, place, limit + 1 - len(found))
            found += [(p, number, held) for number, held in some]
        page = [held for _, _, held in found[:limit]]
        if len(found) <= limit:
            return page, None
        p, number, last = found[limit - 1]
        return page, Place(p, number, last.address)

    async def whole(self, tenant: str) -> AsyncIterator[list[bytes]]:
        """All of it, some thousand addresses at a time: each address and, behind it, its value. Buckets come whole, so
        nothing has to be sorted or cut; what is there all the time comes once."""
        for p in range(self._partitions):
            reached = 0
            while reached < END:
                args = [reached, _ADDRESSES_A_STEP, _BUCKETS_A_STEP]
                reached, *found = await _PAGE(self._client, [self._key(p, tenant)], args)
                if found:
                    yield found

    async def _step(self, tenant: str, place: Place, enough: int) -> tuple[list[tuple[int, Held]], Place]:
        """What one call finds behind the place, in order; and the place from which the next one goes on."""
        args = [place.reversed, min(enough, _ADDRESSES_A_STEP), _BUCKETS_A_STEP]
        reached, *flat = await _PAGE(self._client, [self._key(place.partition, tenant)], args)
        behind = (place.reversed, place.address)
        found: list[tuple[int, Held]] = []
        for at in range(0, len(flat), 2):
            raw: bytes = flat[at]
            number, address = reversed_hash(raw), raw.decode()
            if (number, address) > behind:
                found.append((number, Held(address, flat[at + 1])))
        found.sort()
        return found, Place(place.partition, reached) if reached < END else Place(place.partition + 1)


def _digest(address: bytes) -> bytes:
    digest = _empty.copy()
    digest.update(address)
    return digest.digest()[:4]


def _hashes(addresses: Sequence[bytes]) -> bytes:
    return msgspec.msgpack.encode(unpack(f">{len(addresses)}I", b"".join(map(_digest, addresses))))


def reversed_hash(address: bytes) -> int:
    """The 32 bits of an address's hash from right to left, by which pages are ordered."""
    return int.from_bytes(_digest(address).translate(_REVERSED_BITS), "little")
