"""Who got a message of which operation (`shared.words.once`): in Redis, by the scripts of marketing pressure.

At most one message in 90 days to a place, which is a recipient in an operation, as pressure has at most so many to an
address: counted or refused at one moment, known again by its mark, given back where it ends unsent. Places stand in
buckets, as addresses do there, and those of one recipient in one bucket.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple
from zlib import crc32

import msgspec

from shared.redis import keys
from shared.redis.pressure import COUNT, GIVE_BACK, buckets
from shared.redis.redis import Client, answer
from shared.words import once, pressure
from shared.words.ids import address_prefix

#: Of a tenant's buckets, read in one round trip.
_BUCKETS_TOGETHER = 256
_RULES = msgspec.msgpack.encode([(once.RULE.most, once.LIFETIME_S)])


class Mark(NamedTuple):
    """A message of a job, and its place (`once.place`)."""

    ordinal: int
    place: str


class Held(NamedTuple):
    """The places of an operation: how many there are, and when (s) the first and the last of them were counted."""

    places: int
    first_s: int
    last_s: int


class Once:
    """Every method raises RedisAway, and may be repeated."""

    def __init__(self, client: Client, partitions: int) -> None:
        self._client = client
        self._partitions = partitions
        self._buckets = buckets(partitions)

    async def count(self, tenant: str, job: str, marks: Sequence[Mark], now_ms: int) -> list[bool]:
        """For each whether it may be queued; it has its place then, unless it had it already. In one round trip; in a
        cluster one to each server, at the same time."""
        if not marks:
            return []
        head = (now_ms // 1000, once.LIFETIME_S, self._buckets, _RULES)
        indexes, calls = self._calls(tenant, job, marks, head)
        allowed = [True] * len(marks)
        for own, refused in zip(indexes, await COUNT.each(self._client, calls), strict=True):
            for at in refused:
                allowed[own[at]] = False
        return allowed

    async def give_back(self, tenant: str, job: str, marks: Sequence[Mark]) -> None:
        """They are not sent: those of them that have a place leave it."""
        if marks:
            _, calls = self._calls(tenant, job, marks, (self._buckets,))
            await GIVE_BACK.each(self._client, calls)

    async def sent_s(self, tenant: str, address: str) -> list[int]:
        """When messages of operations were queued for a normalised address, where it had no key; the oldest first."""
        bucket, half = self._bucket(tenant, once.identity(address))
        fields = await self._client.hgetall(bucket)
        mine = (value for place, value in fields.items() if place.startswith(half))
        return sorted(at_s for value in mine for at_s in pressure.sent_s(value))

    async def forget(self, tenant: str, address: str) -> None:
        """Nothing is kept of a normalised address where it had no key. Of who had one the rows in jobs know the place
        (`shared.redis.recipients.keyed`), which is given back."""
        bucket, half = self._bucket(tenant, once.identity(address))
        if mine := [place for place in await self._client.hkeys(bucket) if place.startswith(half)]:
            await self._client.hdel(bucket, *mine)

    async def counted(self, tenant: str, who: str, operation: bytes, now_s: int) -> tuple[int, bytes] | None:
        """When (s) a message of an operation, of which `half` is given, was counted for an identity, and its mark
        (`shared.words.pressure`); None where its place is free."""
        bucket, half = self._bucket(tenant, who)
        (stored,) = await self._client.hmget(bucket, half + operation)
        return next(iter(_alive(stored or b"", now_s)), None)

    async def held(self, tenant: str, now_s: int) -> dict[bytes, Held]:
        """By operation (`half` of its name), what it holds now. It reads every place of the tenant: some MB for each
        hundred thousand."""
        found: dict[bytes, Held] = {}
        for p in range(self._partitions):
            base = keys.once(p, tenant)
            for start in range(0, self._buckets, _BUCKETS_TOGETHER):
                pipeline = self._client.pipeline(transaction=False)
                for number in range(start, min(start + _BUCKETS_TOGETHER, self._buckets)):
                    pipeline.execute_command("HGETALL", f"{base}:{number}")
                for bucket in await answer(pipeline.execute()):
                    _add_up(found, bucket, now_s)
        return found

    def _bucket(self, tenant: str, who: str) -> tuple[str, bytes]:
        """Where all places of an identity are, and how they begin."""
        half = once.half(who)
        base = keys.once(crc32(half, address_prefix(tenant)) % self._partitions, tenant)
        return f"{base}:{int.from_bytes(half[:4], 'big') % self._buckets}", half

    def _calls(
        self, tenant: str, job: str, marks: Sequence[Mark], head: Sequence[bytes | int]
    ) -> tuple[list[list[int]], list[tuple[list[str], list[str | bytes | int]]]]:
        """Of each partition the places among the marks, and the call of a script."""
        prefix, first = address_prefix(tenant), pressure.first_mark(job)
        indexes: dict[int, list[int]] = defaultdict(list)
        args: dict[int, list[str | bytes | int]] = defaultdict(lambda: [*head])
        for index, (ordinal, place) in enumerate(marks):
            raw = once.unpacked(place)
            p = crc32(raw[: once.HALF_BYTES], prefix) % self._partitions
            indexes[p].append(index)
            args[p].append(raw + pressure.mark(first, ordinal))
        return [*indexes.values()], [([keys.once(p, tenant)], args[p]) for p in indexes]


def _add_up(found: dict[bytes, Held], bucket: dict[bytes, bytes], now_s: int) -> None:
    """What a bucket has, by operation; its field "" is no place."""
    for place, stored in bucket.items():
        for at_s, _ in _alive(stored, now_s) if place else ():
            operation = place[once.HALF_BYTES :]
            held = found.get(operation, Held(0, at_s, at_s))
            found[operation] = Held(held.places + 1, min(held.first_s, at_s), max(held.last_s, at_s))


def _alive(stored: bytes, now_s: int) -> list[tuple[int, bytes]]:
    """The messages that count, of what is kept in a place: a bucket that lives on keeps some for longer."""
    return [(at_s, mark) for at_s, mark in pressure.mails(stored) if now_s - at_s < once.LIFETIME_S]
