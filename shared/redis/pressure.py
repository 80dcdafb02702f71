"""How many marketing mails each address got lately, and the rules on how many it may get (`shared.words.pressure`).

Queueing counts, in one script for all addresses of a partition: a mail is counted, or refused, at one moment, so two
processes that queue two jobs never give an address more than its rules allow. A mail that is known by its mark is
counted already: whoever queues a chunk again gets the same answer. Whoever ends a mail unsent gives it back.

Addresses stand in buckets, hashes that Redis keeps as one piece of memory, by a digest of eight bytes. A bucket goes by
itself when nothing came into it for the longest of the periods; in one that lives on, addresses that got nothing for
that long are removed when something comes, once in a quarter of the period. So there is no sweep. Without rules nothing
is counted or kept, and that there are none is asked for twice a second.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import NamedTuple
from zlib import crc32

import msgspec

from shared.net.remembered import Remembered
from shared.redis import keys
from shared.redis.redis import Client, Script
from shared.redis.suppression import normalised
from shared.words import pressure
from shared.words.consent import MARKETING_STREAM
from shared.words.ids import address_partition, address_prefix
from shared.words.pressure import Rules

#: How old the rules may be: a change holds within a second.
RULES_S = 0.5
TENANTS_KEPT = 10_000
#: Of a tenant, in all partitions: with ten million addresses 76 a bucket, which Redis still packs (up to 128).
BUCKETS = 131_072
_PLACE_BYTES = 8

#: `shared.redis.once` counts by them, too.
COUNT = Script.of(__file__, "pressure_count", kept=True)
GIVE_BACK = Script.of(__file__, "pressure_give_back", kept=True)
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Rules)


class Mail(NamedTuple):
    """A message of a job, and to whom it goes."""

    ordinal: int
    address: str


class PressureRules:
    """What tenants decided. `monotonic` is a clock in seconds. Raises RedisAway."""

    def __init__(self, client: Client, monotonic: Callable[[], float]) -> None:
        self._client = client
        self._known = Remembered[str, Rules](TENANTS_KEPT, monotonic)

    async def of(self, tenant: str) -> Rules:
        """The shortest period first; none: any number of mails. Half a second old at most."""
        known = self._known.known(tenant)
        if known is None:
            stored = await self._client.hget(keys.pressure_rules(), tenant)
            known = () if stored is None else _decoder.decode(stored)
            self._known.keep(tenant, known, RULES_S)
        return known

    async def put(self, tenant: str, rules: Rules) -> None:
        """None: what is kept of addresses goes by itself."""
        if rules:
            await self._client.hset(keys.pressure_rules(), tenant, _encoder.encode(rules))
        else:
            await self._client.hdel(keys.pressure_rules(), tenant)
        self._known.forget(tenant)


class Pressure:
    """The counts. `now_ms` is the clock, `monotonic` one in seconds. Every method raises RedisAway, and may be
    repeated."""

    def __init__(
        self, client: Client, partitions: int, now_ms: Callable[[], int], monotonic: Callable[[], float]
    ) -> None:
        self._client = client
        self._partitions = partitions
        self._buckets = buckets(partitions)
        self._now_ms = now_ms
        self.rules = PressureRules(client, monotonic)

    async def is_counted(self, tenant: str, stream: str) -> bool:
        """Whether mails of that stream are: most tenants have no rules, and whoever has many mails need not name them
        all to hear it."""
        return stream == MARKETING_STREAM and bool(await self.rules.of(tenant))

    async def count(self, tenant: str, stream: str, job: str, mails: Sequence[Mail]) -> list[bool]:
        """For each whether it may be queued; it is counted then, unless it was already. In one round trip; in a cluster
        one to each server, at the same time."""
        if not mails or stream != MARKETING_STREAM or not (rules := await self.rules.of(tenant)):
            return [True] * len(mails)
        windows = [(rule.most, rule.days * pressure.DAY_S) for rule in rules]
        head = (self._now_ms() // 1000, pressure.longest_s(rules), self._buckets, _encoder.encode(windows))
        places, calls = self._calls(tenant, job, mails, head)
        allowed = [True] * len(mails)
        for indexes, refused in zip(places, await COUNT.each(self._client, calls), strict=True):
            for at in refused:
                allowed[indexes[at]] = False
        return allowed

    async def give_back(self, tenant: str, stream: str, job: str, mails: Sequence[Mail]) -> None:
        """They are not sent: those of them that were counted count no more."""
        if mails and stream == MARKETING_STREAM and await self.rules.of(tenant):
            _, calls = self._calls(tenant, job, mails, (self._buckets,))
            await GIVE_BACK.each(self._client, calls)

    def _calls(
        self, tenant: str, job: str, mails: Sequence[Mail], head: Sequence[bytes | int]
    ) -> tuple[list[list[int]], list[tuple[list[str], list[str | bytes | int]]]]:
        """Of each partition the places of its mails among them, and the call of a script."""
        prefix, first = address_prefix(tenant), pressure.first_mark(job)
        indexes: dict[int, list[int]] = defaultdict(list)
        args: dict[int, list[str | bytes | int]] = defaultdict(lambda: [*head])
        for index, (ordinal, address) in enumerate(mails):
            raw = normalised(address).encode()
            p = crc32(raw, prefix) % self._partitions
            indexes[p].append(index)
            args[p].append(_place(raw) + pressure.mark(first, ordinal))
        return [*indexes.values()], [([keys.pressure(p, tenant)], args[p]) for p in indexes]


class Reached:
    """What is kept of addresses. Every method raises RedisAway, and may be repeated."""

    def __init__(self, client: Client, partitions: int) -> None:
        self._client = client
        self._partitions = partitions

    async def sent_s(self, tenant: str, address: str) -> list[int]:
        """When the mails were queued that are kept of an address: those that count, and some that did."""
        bucket, place = self._place(tenant, address)
        (stored,) = await self._client.hmget(bucket, place)
        return [] if stored is None else pressure.sent_s(stored)

    async def forget(self, tenant: str, address: str) -> None:
        """Nothing is kept of an address."""
        await self._client.hdel(*self._place(tenant, address))

    def _place(self, tenant: str, address: str) -> tuple[str, bytes]:
        """The bucket of an address, and what stands for it there."""
        address = normalised(address)
        base = keys.pressure(address_partition(tenant, address, self._partitions), tenant)
        place = _place(address.encode())
        return f"{base}:{int.from_bytes(place[:4], 'big') % buckets(self._partitions)}", place


def buckets(partitions: int) -> int:
    """Of a partition of a tenant."""
    return max(1, BUCKETS // partitions)


def _place(address: bytes) -> bytes:
    return blake2b(address, digest_size=_PLACE_BYTES).digest()
