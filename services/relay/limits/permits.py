"""Permits (rate-limit tokens) to send a message, by all its limits or none; exact over all relays, in order of asking.

Each limit is a hash in Redis: one GCRA time for each of its rates (`shared.words.rates` has the proof), and how much of
its quota is used. One script judges many requests one after the other, so that what it permits is exact whoever asks.

- Gathered: while a call is on its way the next requests collect, and go together. A message under no limit costs
  nothing.
- In order: requests are judged lane by lane, as everywhere in the relay, and within a lane in the order in which they
  came. Who has `patience_ms` keeps the place here while one waits, ahead of all of the lane who come later, so that
  nobody starves between two limits that are rarely free together. Without lanes, what people wait for would have each
  connection's bulk mail before it at a site with a rate.
- One after the other: requests that one limit refuses in the same call are told to come back one interval apart, in
  their order, not all at the same time.
- At once or not at all: an answer that took too long brings permits whose time is over, because the receiver would see
  their messages together with later ones; and so does a process too busy to go on with who asked. They are asked for
  again (`LATE_S`); what they had taken is given back where that is exact: if nothing was permitted since, and the limit
  was empty before.
"""

import asyncio
import math
import time
from bisect import insort_left, insort_right
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter
from typing import Literal

import msgspec
from prometheus_client import Counter

from services.relay.words.notnow import Scope
from shared.redis import keys
from shared.redis.ready import BULK
from shared.redis.redis import Client, RedisAway, Script
from shared.words.rates import Rate, spacing

#: Requests of one call: a script of 1,000 takes Redis a few milliseconds, in which it answers nobody else.
MOST_TOGETHER = 1000
#: An answer later than the usual by so much is too late: half of `rates.DELAY_MS`, the other half is for the way of
#: the message. What is usual follows the round trips: a Redis that is far away delays all permits alike, which is
#: harmless.
LATE_S = 0.025
#: A rough memory of the quickest round trip: a slower Redis is believed after some twenty calls.
FORGET = 1.1
FORGET_S = 0.0005
#: What a limit bounds, and the label of the metric: `source` is a source address, at one site or over all of them.
Kind = Literal["site", "source", "tenant", "job", "pace", "warmup"]
#: Who has to wait for it.
SCOPES: dict[Kind, Scope] = {
    "site": "site",
    "source": "source",
    "tenant": "queue",
    "job": "queue",
    "pace": "source",
    "warmup": "source",
}

LIMITED = Counter("estafette_relay_limited_total", "Messages that a limit made wait, by the kind of it", ["limit"])
LATE = Counter(
    "estafette_relay_late_permits_total", "Rate-limit tokens that came too late to be used, and were asked for again"
)
_limited = {kind: LIMITED.labels(kind) for kind in SCOPES}

_PERMIT = Script.of(__file__, "permits_permit")


@dataclass(frozen=True, slots=True)
class Limit:
    """What is counted under one name over all relays. `rates` all hold at once; `quota` messages are allowed until
    `quota_until_ms` (0: no quota); `connections` (0: any number) is for `connect`."""

    name: str
    kind: Kind
    rates: tuple[Rate, ...] = ()
    connections: int = 0
    quota: int = 0
    quota_until_ms: int = 0

    @property
    def scope(self) -> Scope:
        """Who has to wait for it."""
        return SCOPES[self.kind]


@dataclass(frozen=True, slots=True)
class Wait:
    """Refused: by which limit, and in how many ms it is worth asking again."""

    ms: int
    limit: Limit


@dataclass(slots=True, eq=False)
class _Asked:
    limits: tuple[Limit, ...]
    lane: int
    answer: "asyncio.Future[Wait | None]"
    #: Monotonic seconds: when to ask (again), and until when to go on.
    at_s: float
    until_s: float
    refused_by: str = ""
    #: When it was permitted, in the script's time, if that came too late.
    unused_us: int = 0
    #: When the permit was asked for (monotonic seconds), and when it was given, in the script's time.
    called_s: float = 0.0
    permitted_us: int = 0


class _Usual:
    """A rough memory of how quick something is at its quickest; whether one time took much longer."""

    def __init__(self) -> None:
        self._s = LATE_S

    def is_late(self, took_s: float) -> bool:
        late = took_s > self._s + LATE_S
        self._s = min(took_s, self._s * FORGET + FORGET_S)
        return late


class Permits:
    """The permits of one process. `monotonic` in seconds."""

    def __init__(self, client: Client, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._monotonic = monotonic
        #: By lane, and in it in the order of asking.
        self._line: list[_Asked] = []
        self._arrived = asyncio.Event()
        self._asking: asyncio.Task[None] | None = None
        self._round_trip = _Usual()
        #: From the question to who asked going on, which in a busy process is later than the answer.
        self._way = _Usual()

    async def permit(self, limits: Sequence[Limit], patience_ms: int = 0, lane: int = BULK) -> Wait | None:
        """None: send this message right now. Else none of the limits has counted it; a wait within `patience_ms` is
        waited here. RedisAway: nobody knows, so nothing may be sent."""
        counting = tuple({limit.name: limit for limit in limits if limit.rates or limit.quota_until_ms}.values())
        if not counting:
            return None
        now_s = self._monotonic()
        asked = _Asked(counting, lane, asyncio.get_running_loop().create_future(), now_s, now_s + patience_ms / 1000)
        insort_right(self._line, asked, key=attrgetter("lane"))
        self._wake()
        while (refused := await asked.answer) is None and self._way.is_late(self._monotonic() - asked.called_s):
            LATE.inc()
            asked.unused_us, asked.answer = asked.permitted_us, asyncio.get_running_loop().create_future()
            insort_left(self._line, asked, key=attrgetter("lane"))
            self._wake()
        return refused

    def _wake(self) -> None:
        self._arrived.set()
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask(), name="permits")

    async def _ask(self) -> None:
        """For as long as anybody waits."""
        try:
            while self._line:
                if together := self._next(self._monotonic()):
                    await self._ask_together(together[:MOST_TOGETHER])
                else:
                    await self._wait_until(min(asked.at_s for asked in self._line))
                self._line = [asked for asked in self._line if not asked.answer.done()]
        finally:
            self._asking = None

    def _next(self, now_s: float) -> list[_Asked]:
        """Those whose time has come, in line, and ahead of them those who wait for a limit that they are under."""
        names: set[str] = set()
        together = []
        for asked in reversed(self._line):
            if not asked.answer.done() and (asked.at_s <= now_s or asked.refused_by in names):
                names.update(limit.name for limit in asked.limits)
                together.append(asked)
        together.reverse()
        return together

    async def _wait_until(self, at_s: float) -> None:
        self._arrived.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(at_s - self._monotonic()):
                await self._arrived.wait()

    async def _ask_together(self, together: Sequence[_Asked]) -> None:
        limits, key_names, question = _question(together)
        asked_s = self._monotonic()
        try:
            found = await _PERMIT(self._client, key_names, [question])
        except Exception as fault:  # whatever it is: each who asked has to know
            for asked in together:
                if not asked.answer.done():
                    asked.answer.set_exception(RedisAway(str(fault)) if isinstance(fault, RedisAway) else fault)
            return
        now_s = self._monotonic()
        late = self._round_trip.is_late(now_s - asked_s)
        for asked, wait_us, by in zip(together, found[1::2], found[2::2], strict=True):
            asked.unused_us = 0
            if asked.answer.done():  # cancelled meanwhile: a permit it got is lost
                continue
            if wait_us:
                self._refuse(asked, wait_us, limits[by - 1], now_s)
            elif late:
                asked.unused_us = found[0]
                LATE.inc()
            else:
                asked.called_s, asked.permitted_us = asked_s, found[0]
                asked.answer.set_result(None)

    def _refuse(self, asked: _Asked, wait_us: int, limit: Limit, now_s: float) -> None:
        if not asked.refused_by:
            _limited[limit.kind].inc()
        asked.refused_by = limit.name
        asked.at_s = now_s + wait_us / 1_000_000
        if asked.at_s > asked.until_s:
            asked.answer.set_result(Wait(math.ceil(wait_us / 1000), limit))


def _question(together: Sequence[_Asked]) -> tuple[list[Limit], list[str], bytes]:
    """The limits in the order of their numbers, and the keys and the argument of the script."""
    names: dict[str, int] = {}
    latest: dict[str, tuple[Limit, int]] = {}
    limits, told, requests = [], [], []
    for asked in together:
        request = [asked.unused_us]
        for limit in asked.limits:
            # By name, and then compared: hashing a limit with its rates costs more than all the rest.
            known, number = latest.get(limit.name, (None, 0))
            if known is not limit and known != limit:
                key = names.setdefault(limit.name, len(names) + 1)
                limits.append(limit)
                told.append((key, _spaced(limit.rates), limit.quota, limit.quota_until_ms))
                number = len(limits)
                latest[limit.name] = limit, number
            request.append(number)
        requests.append(request)
    return limits, [keys.limit(name) for name in names], msgspec.msgpack.encode((told, requests))


@lru_cache(maxsize=4096)
def _spaced(rates: tuple[Rate, ...]) -> list[tuple[str, float, float]]:
    """Each rate as the script has it; its field tells two rates of one limit apart. It is that of its period, so that
    what was counted stays counted where an operator adds, drops or changes another one."""
    periods = [rate.period_ms for rate in rates]
    numbers = [periods[:at].count(period) for at, period in enumerate(periods)]
    spaced = [(f"{number}:{rate.period_ms}", spacing(rate)) for number, rate in zip(numbers, rates, strict=True)]
    return [(name, one.interval_us, one.tolerance_us) for name, one in spaced]
