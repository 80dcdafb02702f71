"""What jobs may still take up of their tenant's quotas, asked before they are stored.

What is kept is counted in Redis with the data (`store.py`), by partition. A process reads the sum of a tenant at most
once in `FRESH_S`, and every `REFUSED_S` while it refuses; in between it adds what it lets in itself. So one process is
exact, and several may together let in what the others have stored within the last second: never a count that stays too
high, since nothing that is remembered here outlives the next reading.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Protocol

from shared.redis.tenants import Family
from shared.words import quotas

#: How long a sum that was read is believed, in seconds.
FRESH_S = 1.0
#: Before a request is refused by what was read longer ago than this, it is read anew.
REFUSED_S = 0.1
#: Tenants remembered at most; beyond, all are forgotten, and read anew.
MAX_KNOWN = 10_000
#: Waiting chunks become fewer in seconds, open jobs by what the tenant does, the others in hours.
RETRY_AFTER_S = {"intake_chunks": 5, "open_jobs": 60, "stored_bytes": 60, "idempotency_keys": 600}


class Store(Protocol):
    async def use(self, tenant: str, now_ms: int) -> dict[str, int]: ...


class Families(Protocol):
    async def family(self, name: str) -> Family | None:
        """With whom the tenant shares quotas; None if with nobody."""


class _Known:
    """Of one tenant, or of one with its sub-accounts: the sums, when they were read, and what was let in since."""

    def __init__(self, members: tuple[str, ...]) -> None:
        self.members = members
        self.sums: Mapping[str, int] = {}
        self.read_at = float("-inf")
        self.under_way: Counter[str] = Counter()
        self.stored: Counter[str] = Counter()
        self.reading = asyncio.Lock()

    def used(self, name: str) -> int:
        return self.sums.get(name, 0) + self.under_way[name] + self.stored[name]


class Room:
    """Takes up room for what is about to be stored; refuses where there is none."""

    def __init__(
        self,
        store: Store,
        defaults: Mapping[str, int],
        now_ms: Callable[[], int],
        monotonic: Callable[[], float],
        families: Families | None = None,
    ) -> None:
        self._store = store
        self._families = families
        self._defaults = defaults
        self._usual = quotas.limits(defaults, {})
        self._now_ms = now_ms
        self._monotonic = monotonic
        self._known: dict[str, _Known] = {}

    def limits(self, own: Mapping[str, int]) -> Mapping[str, int]:
        return quotas.limits(self._defaults, own) if own else self._usual

    @asynccontextmanager
    async def taken(self, tenant: str, own: Mapping[str, int], wanted: Mapping[str, int]) -> AsyncIterator[None]:
        """While it is being stored. Problem 429, and nothing is taken, if any of it is more than there is. What fails
        leaves its room with the next reading, as what was stored does."""
        every = await self._check(tenant, own, wanted)
        for known in every:
            _add(known.under_way, wanted)
        try:
            yield
        finally:
            # What a script may have stored counts until it is read.
            for known in every:
                _add(known.under_way, wanted, -1)
                _add(known.stored, wanted)

    async def check(self, tenant: str, own: Mapping[str, int], wanted: Mapping[str, int]) -> None:
        """Problem 429 if there is not so much room now: before a body is read."""
        await self._check(tenant, own, wanted)

    async def _check(self, tenant: str, own: Mapping[str, int], wanted: Mapping[str, int]) -> list[_Known]:
        """In what it counts: in the tenant's use, and in that of its parent with all sub-accounts."""
        bounds = [(self._known_of(tenant, (tenant,)), self.limits(own))]
        if self._families is not None and (family := await self._families.family(tenant)) is not None:
            bounds.append((self._known_of(f"{family.parent}/", family.members), self.limits(family.quotas)))
        for known, most in bounds:
            await self._require(known, most, wanted)
        return [known for known, _ in bounds]

    def _known_of(self, name: str, members: tuple[str, ...]) -> _Known:
        known = self._known.get(name)
        if known is None:
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            known = self._known[name] = _Known(members)
        known.members = members
        return known

    async def _require(self, known: _Known, most: Mapping[str, int], wanted: Mapping[str, int]) -> None:
        name = ""
        for age_s in (FRESH_S, REFUSED_S):
            await self._read(known, age_s)
            name = _first_beyond(wanted, known, most)
            if not name:
                return
        quota = name.partition(":")[0]
        raise quotas.exceeded(quota, most[quota], known.used(name), RETRY_AFTER_S[quota])

    async def _read(self, known: _Known, age_s: float) -> None:
        if self._monotonic() - known.read_at < age_s and not known.reading.locked():
            return
        async with known.reading:
            if self._monotonic() - known.read_at < age_s:
                return
            before, known.stored = known.stored, Counter()
            try:
                sums: Counter[str] = Counter()
                for member in known.members:
                    sums.update(await self._store.use(member, self._now_ms()))
                known.sums = sums
            except BaseException:
                known.stored.update(before)
                raise
            known.read_at = self._monotonic()


def _add(counts: Counter[str], wanted: Mapping[str, int], times: int = 1) -> None:
    """As `Counter.update`, in half the time."""
    for name, more in wanted.items():
        counts[name] += times * more


def _first_beyond(wanted: Mapping[str, int], known: _Known, most: Mapping[str, int]) -> str:
    for name, more in wanted.items():
        if _beyond(name, more, known, most):
            return name
    return ""


def _beyond(name: str, more: int, known: _Known, most: Mapping[str, int]) -> bool:
    """A job's chunks go in whole while there are fewer than the quota, however many it has: else a large job never
    would."""
    quota = name.partition(":")[0]
    if quota == "intake_chunks":
        return more > 0 and known.used(name) >= most[quota]
    return more > 0 and known.used(name) + more > most[quota]
