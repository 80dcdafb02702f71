"""The main path of retention: whom nothing came from for years is warned about, and then erased.

Once an hour one process goes through everybody whom a tenant with a rule keeps. Whatever dies in between, the next hour
goes on: a warning is told before it is noted, under the same event id if it is told again; who was noted as warned and
has not shown since is erased, which may be begun twice (`erasing.py`).
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, Protocol

import msgspec
from prometheus_client import Counter

from services.suppression import retention
from services.suppression.erasing import RETENTION
from services.suppression.everybody import Place, Somebody
from services.suppression.interactions import Noted
from services.suppression.retention import DAY_MS, Rule, day_of, near
from shared.process import logs
from shared.process.lifecycle import pause
from shared.redis import keys
from shared.redis.redis import Client, RedisAway
from shared.redis.tenants import Tenant
from shared.words import events

WARNED = Counter("estafette_suppression_retention_warned_total", "Addresses that will be erased: their tenant was told")
ERASED = Counter("estafette_suppression_retention_erased_total", "Addresses whose erasure was begun by retention")

#: From one look to the next; and how long after one no other process looks.
LOOK_SECONDS = 3600.0
#: Whoever waits asks so often whether it is their turn: one command.
TURN_SECONDS = 5.0
#: Erasures of a tenant under way at a time: each walk through its jobs takes a hundred, and requests go first.
MOST_PENDING = 1_000
_PAGE = 500

_log = logs.get_logger()
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Rule)


class RetentionRules:
    """The rules of tenants; `default` is that of the others. Every method raises RedisAway."""

    def __init__(self, client: Client, default: Rule) -> None:
        self._client = client
        self.default = default

    async def own(self, tenant: str) -> Rule | None:
        """What the tenant set; None: nothing."""
        packed = await self._client.hget(keys.retention_rules(), tenant)
        return None if packed is None else _decoder.decode(packed)

    async def of(self, tenant: str) -> Rule:
        """What is in force."""
        return await self.own(tenant) or self.default

    async def put(self, tenant: str, rule: Rule) -> None:
        """Everybody is looked at by it within seconds."""
        await self._client.hset(keys.retention_rules(), tenant, _encoder.encode(rule))
        await self._client.delete(keys.retention_run())

    async def delete(self, tenant: str) -> bool:
        """The settings hold again; whether the tenant had set something."""
        return bool(await self._client.hdel(keys.retention_rules(), tenant))

    async def is_my_turn(self) -> bool:
        """Whether nobody has looked within the hour; from now on somebody has."""
        return bool(await self._client.set(keys.retention_run(), "1", nx=True, px=int(LOOK_SECONDS * 1000)))


class Looked(NamedTuple):
    """What a look at a tenant came to: how many are kept, were warned about, were erased; and how many are to be erased
    as soon as others are done."""

    kept: int = 0
    warned: int = 0
    erased: int = 0
    waiting: int = 0


class Base(Protocol):
    async def page(self, tenant: str, after: Place, limit: int) -> tuple[list[Somebody], Place | None]: ...


class People(Protocol):
    async def erase(self, tenant: str, address: str, by: str) -> object: ...

    async def erasing(self, tenant: str) -> int:
        """How many erasures are under way."""


class Notes(Protocol):
    async def note(self, noted: Sequence[Noted]) -> int: ...


class Publisher(Protocol):
    async def publish(self, facts: Sequence[events.Fact]) -> None: ...


class Retaining:
    """`now_ms` is the clock. Every method raises RedisAway, and may be repeated."""

    def __init__(
        self,
        rules: RetentionRules,
        base: Base,
        people: People,
        notes: Notes,
        publisher: Publisher,
        tenants: Callable[[], Awaitable[Sequence[Tenant]]],
        now_ms: Callable[[], int],
    ) -> None:
        self._rules = rules
        self._base = base
        self._people = people
        self._notes = notes
        self._publisher = publisher
        self._tenants = tenants
        self._now_ms = now_ms

    async def run(self, stopping: asyncio.Event) -> None:
        """Until `stopping`."""
        while not stopping.is_set():
            try:
                if await self._rules.is_my_turn():
                    await self.sweep(stopping)
            except RedisAway as away:
                _log.warning("retention_failed", reason=str(away))
            except Exception:  # ours, or a server that refuses: the routes beside it go on
                _log.exception("retention_failed")
            await pause(stopping, TURN_SECONDS)

    async def sweep(self, stopping: asyncio.Event | None = None) -> None:
        """Looks at everybody of every tenant that has a rule."""
        for tenant in await self._tenants():
            rule = await self._rules.of(tenant.name)
            if rule.years:
                looked = await self.look(tenant.name, rule, stopping)
                _log.info("retention_looked", tenant=tenant.name, dry_run=rule.dry_run, **looked._asdict())

    async def look(self, tenant: str, rule: Rule, stopping: asyncio.Event | None = None) -> Looked:
        """Warns and erases, where it is due; with `dry_run` it is only counted."""
        total = Looked()
        room = max(0, MOST_PENDING - await self._people.erasing(tenant))
        place: Place | None = Place()
        while place is not None and not (stopping is not None and stopping.is_set()):
            some, place = await self._base.page(tenant, place, _PAGE)
            looked = await self._page(tenant, rule, some, room)
            room -= looked.erased
            total = Looked(*(one + other for one, other in zip(total, looked, strict=True)))
        return total

    async def _page(self, tenant: str, rule: Rule, some: Sequence[Somebody], room: int) -> Looked:
        today = day_of(self._now_ms())
        found = [(one, near(rule, one.last_day, one.warned_day, today)) for one in some]
        warned = [(one, what.erase_day) for one, what in found if what.verdict == "warn"]
        due = [one for one, what in found if what.verdict == "erase"]
        if not rule.dry_run:
            await self._warn(tenant, warned, today)
            for one in due[:room]:
                await self._people.erase(tenant, one.address, RETENTION)
                ERASED.inc()
        gone = min(room, len(due))
        return Looked(len(found) - len(warned) - len(due), len(warned), gone, len(due) - gone)

    async def _warn(self, tenant: str, warned: Sequence[tuple[Somebody, int]], today: int) -> None:
        """Told first: a warning that is told twice is one event, one that is not told would be none."""
        if not warned:
            return
        await self._publisher.publish([_fact(tenant, one, erase_day, today) for one, erase_day in warned])
        await self._notes.note([Noted(tenant, one.address, 0, today) for one, _ in warned])
        WARNED.inc(len(warned))


def _fact(tenant: str, one: Somebody, erase_day: int, today: int) -> events.RetentionNear:
    what = ("retention", tenant, one.address, one.last_day, today)
    return events.RetentionNear(
        **events.about(tenant, today * DAY_MS, *what, email=one.address),
        last_at=one.last_day * DAY_MS,
        erase_at=erase_day * DAY_MS,
    )


def shown(one: Somebody, rule: Rule, today: int) -> dict[str, str | None]:
    """Somebody who will go, for people: the days as ISO 8601 has them."""
    what = near(rule, one.last_day, one.warned_day, today)
    return {
        "address": one.address,
        "last": retention.shown_day(one.last_day),
        "warned": retention.shown_day(one.warned_day) if what.verdict in ("wait", "erase") else None,
        "erased_from": retention.shown_day(what.erase_day),
    }
