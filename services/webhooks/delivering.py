"""Who sends: one process at a time holds an endpoint while something is due, and gives it back when nothing is.

`Deliveries` looks for endpoints that are due, and takes those that nobody has; each has a task of its own (`_Post`), so
that one whose requests hang holds up no other. Of one tenant at most `MOST_OF_TENANT` are asked at a time.
"""

import asyncio
import contextlib
from collections import Counter as Counted
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from random import Random
from typing import Protocol

from prometheus_client import Counter, Gauge, Histogram

from services.webhooks import rendering, signing
from services.webhooks.book import Known
from services.webhooks.destination import Destination
from services.webhooks.schedule import SCHEDULE_S, Result
from services.webhooks.window import Aside, Change, Delivery, Event, State, Window
from shared.process import logs
from shared.process.lifecycle import pause
from shared.redis.redis import RedisAway
from shared.words import events

#: Between two looks for what is due; of what this process has queued itself it is told at once.
LOOK_S = 0.2
#: Between two looks into the queue of an endpoint that is being asked.
READ_ON_S = 0.05
#: Endpoints that one process asks at a time, and of one tenant.
MOST_AT_A_TIME = 500
MOST_OF_TENANT = 100
#: An endpoint is held on so often while its requests are under way: a third of the lease.
HOLD_ON_S = 5.0
#: An endpoint that this process does not know is looked at again after this.
UNKNOWN_MS = 5_000

REQUESTS = Counter("estafette_webhooks_requests_total", "Requests to endpoints, by what became of them", ["result"])
SECONDS = Histogram(
    "estafette_webhooks_request_seconds",
    "Time until an endpoint had answered, or had not",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30),
)
DELIVERED = Counter("estafette_webhooks_delivered_total", "Events that an endpoint took")
GIVEN_UP = Counter("estafette_webhooks_given_up_total", "Events that an endpoint did not take at the last attempt")
DISABLED = Counter("estafette_webhooks_disabled_total", "Endpoints disabled", ["why"])
ASKED = Gauge("estafette_webhooks_asked", "Endpoints that this process sends to at the moment")
WAIT_SECONDS = Histogram(
    "estafette_webhooks_wait_seconds",
    "Time from when an event was put into a queue until its endpoint had taken it",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 5, 30, 300, 3600, 36000, 360000),
)

_results = {name: REQUESTS.labels(name) for name in ("taken", "timeout", "reset", "status", "redirect", "inside")}

_log = logs.get_logger()


class Store(Protocol):
    async def due(self, now_ms: int, most: int) -> list[str]: ...
    async def acquire(self, endpoint: str, process: str, now_ms: int) -> tuple[State, dict[str, Aside]] | None: ...
    async def settle(
        self, endpoint: str, process: str, change: Change, state: State, after: str, most: int, now_ms: int
    ) -> list[Event] | None: ...
    async def release(self, endpoint: str, process: str, due_ms: int | None, after: str, now_ms: int) -> None: ...


class Book(Protocol):
    def get(self, endpoint: str) -> Known | None: ...


class Sender(Protocol):
    async def post(self, destination: Destination, headers: bytes, body: bytes) -> Result: ...
    def tidy(self) -> None: ...


class Publisher(Protocol):
    async def publish(self, facts: Sequence[events.Fact], patience_s: float = 2.0, batch: str = "") -> None: ...


@dataclass(frozen=True)
class Limits:
    """Of each endpoint: requests at a time, and after how long without success (ms) it is disabled."""

    concurrency: int
    disable_after_ms: int


@dataclass(frozen=True)
class Clock:
    now_ms: Callable[[], int]
    monotonic: Callable[[], float]
    chance: Random


class Deliveries:
    """Of the process of that name. `wake` may be called from anywhere in its loop."""

    def __init__(
        self, name: str, store: Store, book: Book, sender: Sender, publisher: Publisher, limits: Limits, clock: Clock
    ) -> None:
        self._name = name
        self._store = store
        self._book = book
        self._sender = sender
        self._publisher = publisher
        self._limits = limits
        self._clock = clock
        self._woken = asyncio.Event()
        self._posts: dict[str, asyncio.Task[None]] = {}
        self._tenants: Counted[str] = Counted()

    def wake(self) -> None:
        """Something waits."""
        self._woken.set()

    async def run(self, stopping: asyncio.Event) -> None:
        """Until `stopping`; what is under way then is ended first."""
        stopped = asyncio.get_running_loop().create_task(stopping.wait())
        try:
            while not stopping.is_set():
                try:
                    await self._look(stopping)
                except RedisAway:
                    await pause(stopping, LOOK_S)
                self._sender.tidy()
                await self._waited(stopped)
        finally:
            stopped.cancel()
            await asyncio.gather(*self._posts.values(), return_exceptions=True)

    async def _waited(self, stopped: "asyncio.Task[bool]") -> None:
        woken = asyncio.ensure_future(self._woken.wait())
        await asyncio.wait({woken, stopped}, timeout=LOOK_S, return_when=asyncio.FIRST_COMPLETED)
        woken.cancel()
        self._woken.clear()

    async def _look(self, stopping: asyncio.Event) -> None:
        room = MOST_AT_A_TIME - len(self._posts)
        if room <= 0:
            return
        for endpoint in await self._store.due(self._clock.now_ms(), MOST_AT_A_TIME):
            known = self._book.get(endpoint)
            if endpoint in self._posts or (known is not None and self._is_full(known.endpoint.tenant)):
                continue
            await self._begin(endpoint, known, stopping)
            if len(self._posts) >= MOST_AT_A_TIME:
                return

    def _is_full(self, tenant: str) -> bool:
        return self._tenants[tenant] >= MOST_OF_TENANT

    async def _begin(self, endpoint: str, known: Known | None, stopping: asyncio.Event) -> None:
        found = await self._store.acquire(endpoint, self._name, self._clock.now_ms())
        if found is None:
            return
        if known is None:  # not enabled, or so new that only others know it
            now_ms = self._clock.now_ms()
            await self._store.release(endpoint, self._name, now_ms + UNKNOWN_MS, "", now_ms)
            return
        post = _Post(self._name, known, found, self._store, self._sender, self._publisher, self._limits, self._clock)
        tenant = known.endpoint.tenant
        self._tenants[tenant] += 1
        task = asyncio.get_running_loop().create_task(post.run(lambda: self._book.get(endpoint) is known, stopping))
        self._posts[endpoint] = task
        ASKED.set(len(self._posts))
        task.add_done_callback(lambda ended: self._ended(endpoint, tenant, ended))

    def _ended(self, endpoint: str, tenant: str, task: "asyncio.Task[None]") -> None:
        self._posts.pop(endpoint, None)
        self._tenants[tenant] -= 1
        ASKED.set(len(self._posts))
        if not task.cancelled() and (fault := task.exception()) is not None:
            _log.error("delivering_failed", endpoint=endpoint, exc_info=fault)


class _Lost(Exception):
    """Another process has the endpoint by now."""


class _Post:
    """Sends to one endpoint, while it is this process's."""

    def __init__(
        self,
        name: str,
        known: Known,
        found: tuple[State, dict[str, Aside]],
        store: Store,
        sender: Sender,
        publisher: Publisher,
        limits: Limits,
        clock: Clock,
    ) -> None:
        endpoint = known.endpoint
        self._name = name
        self._known = known
        self._store = store
        self._sender = sender
        self._publisher = publisher
        self._clock = clock
        self._after = "0-0"
        self._finished = asyncio.Event()
        self._requests: set[asyncio.Task[None]] = set()
        self._is_told = bool(found[0].disabled_at)
        self._window = Window(
            *found,
            url=endpoint.url,
            batch=endpoint.batch,
            concurrency=limits.concurrency,
            disable_after_ms=limits.disable_after_ms,
            batch_key=lambda members: _batch_key(endpoint.id, members),
        )

    async def run(self, is_current: Callable[[], bool], stopping: asyncio.Event) -> None:
        """Until nothing is due, or the endpoint was changed, or the process shall stop."""
        try:
            while await self._step(is_current() and not stopping.is_set()):
                pass
        except _Lost:
            _log.warning("endpoint_lost", endpoint=self._known.endpoint.id)
        finally:
            for request in self._requests:
                request.cancel()

    async def _step(self, goes_on: bool) -> bool:
        """Whether there is more to do."""
        window, now_ms = self._window, self._clock.now_ms()
        going = window.next(now_ms) if goes_on else []
        # One alone has its key from its event: it need not be written down first.
        first = [one for one in going if one.is_written and not one.attempts]
        for delivery in going:
            if delivery not in first:
                self._begin(delivery)
        asked = window.room if goes_on else 0
        if window.is_disabled and not self._is_told:
            await self._told_disabled()  # before it is written down: who comes after a crash would not know
        read = await self._settled(asked)
        for delivery in first:
            self._begin(delivery)
        if window.is_idle and not going and (not read or not goes_on) and not self._finished.is_set():
            due_ms = window.due_ms(now_ms)
            if not goes_on or due_ms is None or due_ms > now_ms:
                await self._released(goes_on)
                return False
        if not read or len(going) == 0:
            await self._waited(READ_ON_S if asked else HOLD_ON_S)
        return True

    async def _settled(self, asked: int) -> int:
        """Writes down what happened, and reads on; how many events there were. Repeated until Redis has it."""
        window, change = self._window, self._window.change()
        while True:
            now_ms = self._clock.now_ms()
            try:
                found = await self._store.settle(
                    self._known.endpoint.id, self._name, change, window.state, self._after, asked, now_ms
                )
                break
            except RedisAway:
                await asyncio.sleep(LOOK_S)
        if found is None:
            raise _Lost
        if found:
            self._after = found[-1].entry.decode()
        if asked:
            window.take(found, asked)
        return len(found)

    async def _waited(self, seconds: float) -> None:
        if not self._finished.is_set():
            try:
                async with asyncio.timeout(seconds):
                    await self._finished.wait()
            except TimeoutError:
                return
        self._finished.clear()

    async def _released(self, goes_on: bool) -> None:
        window, now_ms = self._window, self._clock.now_ms()
        due_ms = window.due_ms(now_ms)
        is_full = not window.room or now_ms < window.state.rests_until
        after = "" if is_full else self._after
        if not goes_on and not window.is_disabled:
            due_ms = now_ms if due_ms is None or window.in_hand else due_ms
        with contextlib.suppress(RedisAway):  # its lease ends by itself, and it is due then
            await self._store.release(self._known.endpoint.id, self._name, due_ms, after, now_ms)

    def _begin(self, delivery: Delivery) -> None:
        task = asyncio.get_running_loop().create_task(self._sent(delivery))
        self._requests.add(task)
        task.add_done_callback(self._requests.discard)

    async def _sent(self, delivery: Delivery) -> None:
        now_ms, known = self._clock.now_ms(), self._known
        if len(delivery.events) == 1 and delivery.key == delivery.events[0].key:
            body = delivery.events[0].body
        else:
            body = rendering.together([one.body for one in delivery.events], delivery.made_ms)
        headers = signing.headers(known.signing(now_ms), delivery.key, now_ms // 1000, body)
        try:
            result = await self._sender.post(known.destination, headers, body)
        except Exception as fault:  # of ours: it goes by the schedule as others do, and holds up nothing for ever
            _log.exception("sending_failed", endpoint=known.endpoint.id)
            result = Result(error="reset", detail=f"a fault of the sender: {type(fault).__name__}")
        self._noted(delivery, result)
        self._window.finished(delivery, result, self._clock.now_ms(), self._clock.chance.random())
        self._finished.set()

    def _noted(self, delivery: Delivery, result: Result) -> None:
        name = result.error or "taken"
        (_results.get(name) or REQUESTS.labels(name)).inc()
        SECONDS.observe(result.duration_ms / 1000)
        if result.is_taken:
            DELIVERED.inc(len(delivery.events))
            queued_ms = int(delivery.events[0].entry.partition(b"-")[0])
            WAIT_SECONDS.observe(max(0, self._clock.now_ms() - queued_ms) / 1000)
        elif delivery.attempts >= len(SCHEDULE_S):
            GIVEN_UP.inc(len(delivery.events))

    async def _told_disabled(self) -> None:
        """The tenant is told, under a name by which it is told once; repeated until it is."""
        endpoint, state = self._known.endpoint, self._window.state
        fact = disabled(endpoint.id, endpoint.tenant, endpoint.url, state)
        DISABLED.labels(state.why).inc()
        _log.warning("endpoint_disabled", endpoint=endpoint.id, tenant=endpoint.tenant, reason=state.why)
        while not self._is_told:
            try:
                await self._publisher.publish([fact], batch=f"webhook.{endpoint.id}.{state.disabled_at}")
                self._is_told = True
            except RedisAway:
                await asyncio.sleep(LOOK_S)


def disabled(endpoint: str, tenant: str, url: str, state: State) -> events.WebhookDisabled:
    """The fact; the same however often it is told."""
    return events.WebhookDisabled(
        event_id=events.event_id("webhook_disabled", endpoint, state.disabled_at),
        occurred_at=state.disabled_at,
        tenant=tenant,
        endpoint=endpoint,
        url=url,
        reason=state.why,
        failing_since_at=state.failing_since,
    )


def _batch_key(endpoint: str, members: Sequence[str]) -> str:
    """The `webhook-id` of several events that go together."""
    digest = blake2b(endpoint.encode(), digest_size=16)
    for member in members:
        digest.update(member.encode())
    return f"msg_{digest.hexdigest()}"
