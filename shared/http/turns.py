"""Tenants take turns on an event loop: one who keeps it busy waits between steps while others have work.

A request is a coroutine; what it does between two waits is a step, and a step is what everybody else waits for. Each
step's time is counted to its tenant. A tenant that took more than `LIGHT_S` of the last second is heavy. Steps of heavy
tenants go one at a time, each tenant's in their order and the tenants in turns; and while there are light ones, a heavy
step is followed by a pause of three times its length, so that the heavy have a quarter of the loop at most, in pieces,
however many requests they send at once. Heavy tenants among themselves have all of the loop, and waiting costs as much
as a short step: so then the first `ROUND_S` of each round of the loop are free, and no more than that goes at a time.

Counted is what the coroutine itself does, and what the loop did for it before, such as receiving a piece of its body:
not what it gives to threads, to tasks of its own or to other processes.
"""

import asyncio
import math
import time
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any, Generic, TypeVar

from prometheus_client import Counter

#: Of a second of the loop: below, a tenant's steps are never held.
LIGHT_S = 0.1
#: What was counted is forgotten by and by: a share f of the loop comes to f seconds of this.
MEMORY_S = 1.0
#: What the server does for a request outside of its coroutine: parsing its head, writing its answer.
REQUEST_S = 0.0003
#: And for each byte of a body: 8 MB are received and put together in some 25 ms.
BODY_BYTE_S = 3e-9
#: So long after a step of a light tenant others are held back for such.
LIGHT_AGO_S = 0.25
#: How many times as long as a heavy step the pause behind it is. A request of a light tenant comes back to the loop
#: some ten times, and waits each time for what is under way: at 1 the others' slowest took 2.8 times as long beside
#: somebody who sends 8 MB bodies without end, at 3 they took as long as ever.
RESTS = 3
#: What is under way when somebody light comes after a while: no more than the server does for twenty requests outside
#: of their coroutines, which nothing holds.
ROUND_S = 0.005
#: No step is held longer for what the one before it took.
MAX_PAUSE_S = 0.25
#: Above that, tenants that wait for nothing and took nothing lately are forgotten.
MAX_KNOWN = 10_000

HELD = Counter(
    "estafette_http_steps_held_total", "Steps of requests that waited because their tenant keeps the loop busy"
)

T = TypeVar("T")


class _Tenant:
    __slots__ = ("at", "name", "used", "waiting")

    def __init__(self, name: str, at: float) -> None:
        self.name = name
        self.at = at
        self.used = 0.0
        self.waiting: deque[asyncio.Future[None]] = deque()

    def took(self, now: float) -> float:
        """Seconds of the last second."""
        if now > self.at:
            self.used *= math.exp((self.at - now) / MEMORY_S)
            self.at = now
        return self.used


class Turns:
    """Of one loop. `clock` is in seconds, and never goes back."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._known: dict[str, _Tenant] = {}
        #: Heavy tenants with a step that waits: the next one first.
        self._heavy: OrderedDict[str, _Tenant] = OrderedDict()
        self._are_going = False
        #: Of the steps that were given their turn together: how many are not over, and what the others took.
        self._given = 0
        self._took_s = 0.0
        #: What steps of heavy tenants took in this round of the loop; and what one takes, about.
        self._round_s: float | None = None
        self._step_s = ROUND_S
        self._light_at = -math.inf
        #: Of the step that is under way.
        self._received_bytes = 0

    def received(self, size_bytes: int) -> None:
        """So much of its body was received for the step that is under way."""
        self._received_bytes += size_bytes

    def light(self) -> None:
        """Somebody has work who counts as light whatever they do: whoever comes without a key."""
        self._light_at = self._clock()

    def run(self, tenant: str, work: Coroutine[Any, Any, T]) -> Awaitable[T]:
        """What `work` gives or raises, its steps held as the tenant's are."""
        now = self._clock()
        found = self._known.get(tenant)
        if found is None:
            if len(self._known) >= MAX_KNOWN:
                self._forget(now)
            found = self._known[tenant] = _Tenant(tenant, now)
        found.took(now)
        found.used += REQUEST_S
        return _Held(self, found, work)

    def _forget(self, now: float) -> None:
        self._known = {name: one for name, one in self._known.items() if one.waiting or one.took(now) > LIGHT_S / 100}

    def is_held(self, tenant: _Tenant) -> bool:
        """Whether its next step waits for its turn."""
        now = self._clock()
        if tenant.took(now) <= LIGHT_S:
            self._light_at = now
            return False
        if now - self._light_at < LIGHT_AGO_S:
            return True
        if self._round_s is None:
            self._round_s = 0.0
            asyncio.get_running_loop().call_soon(self._round_over)
        return self._round_s >= ROUND_S

    def _round_over(self) -> None:
        self._round_s = None

    async def turn(self, tenant: _Tenant) -> None:
        """Returns when the step may go. `ended` is called after it."""
        HELD.inc()
        mine = asyncio.get_running_loop().create_future()
        tenant.waiting.append(mine)
        self._heavy.setdefault(tenant.name, tenant)
        if not self._are_going:
            self._are_going = True
            asyncio.get_running_loop().call_soon(self._next)
        try:
            await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled():
                self.ended(0.0)  # it was given its turn, and does not take it
            raise

    def ended(self, took_s: float) -> None:
        """A step that had its turn is over: when all that went with it are, the next ones go, at once or after a
        pause."""
        self._took_s += took_s
        self._step_s += (max(took_s, 1e-5) - self._step_s) / 16
        self._given -= 1
        if not self._given:
            took_s, self._took_s = self._took_s, 0.0
            asyncio.get_running_loop().call_later(self.pause_s(took_s), self._next)

    def pause_s(self, took_s: float) -> float:
        """How long the heavy rest after a step that took so long."""
        return min(RESTS * took_s, MAX_PAUSE_S) if self._is_light_there() else 0.0

    def _is_light_there(self) -> bool:
        return self._clock() - self._light_at < LIGHT_AGO_S

    def _next(self) -> None:
        most = 1 if self._is_light_there() else max(1, int(ROUND_S / self._step_s))
        while self._heavy and self._given < most:
            name, tenant = self._heavy.popitem(last=False)
            mine = tenant.waiting.popleft()
            if tenant.waiting:
                self._heavy[name] = tenant
            if not mine.done():
                mine.set_result(None)
                self._given += 1
        self._are_going = self._given > 0

    def count(self, tenant: _Tenant, took_s: float) -> float:
        """All that a step took, with what was received for it."""
        took_s += self._received_bytes * BODY_BYTE_S
        self._received_bytes = 0
        tenant.used += took_s
        if self._round_s is not None:
            self._round_s += took_s
        return took_s

    def now(self) -> float:
        return self._clock()


class _Held(Generic[T]):
    """Drives a coroutine step by step, in place of the task that awaits this."""

    __slots__ = ("_tenant", "_turns", "_work")

    def __init__(self, turns: Turns, tenant: _Tenant, work: Coroutine[Any, Any, T]) -> None:
        self._turns = turns
        self._tenant = tenant
        self._work = work

    def __await__(self) -> Generator[Any, Any, T]:
        turns, tenant, work = self._turns, self._tenant, self._work
        value: Any = None
        error: BaseException | None = None
        try:
            while True:
                has_turn = False
                if error is None and turns.is_held(tenant):
                    try:
                        yield from turns.turn(tenant).__await__()
                        has_turn = True
                    except BaseException as stopped:
                        error = stopped  # cancelled while it waited: the coroutine is told
                began = turns.now()
                try:
                    awaited = work.send(value) if error is None else work.throw(error)
                except StopIteration as done:
                    return done.value  # type: ignore[no-any-return]
                finally:
                    took_s = turns.count(tenant, turns.now() - began)
                    if has_turn:
                        turns.ended(took_s)
                value, error = None, None
                try:
                    value = yield awaited
                except BaseException as raised:
                    error = raised
        finally:
            work.close()
