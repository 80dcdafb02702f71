"""What of an endpoint's queue is in hand, and what is sent next: the rules of order, repeats and rest. Pure.

    queue ──take──→ ready ──next──→ under way ──finished──→ done
                      ↑  blocked        │
                      ╰──── by order ───┤
                                        ╰─not taken─→ aside, until it is due ─→ next

- A delivery is one request: one event, or several. What is not taken is put aside with all its events, and goes again
  as the same delivery under the same key, whoever sends it then: what is aside is written down.
- An event whose message (or address, or job) has an earlier one under way or aside waits for that.
- Requests under way begin with a few, one more for each that is taken, half as many for each that is not.
- After `RESTS_AFTER` failures in a row the endpoint rests: only what is aside goes, one at a time, each when it is due,
  until something is taken. So a dead endpoint is asked as often as the schedule of a few deliveries says, whatever
  waits. Who answers 429 or 503 is not asked at all for as long as they say.
- A delivery whose schedule has ended is given up; its events are kept for a replay. An endpoint that has failed for too
  long, or has answered 410, is disabled.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import msgspec

from services.webhooks import schedule
from services.webhooks.schedule import Result
from shared.words.times import rfc3339

#: Events in hand: read, and neither done nor given up. About 5 MB of an endpoint that is asked.
MOST_IN_HAND = 5_000
#: One answer of the queue.
MOST_READ = 1_000
RESTS_AFTER = 5
FIRST_AT_A_TIME = 4
#: Bytes of the events of one request, beyond which it takes no further one.
MOST_BYTES = 1_000_000


class Event(NamedTuple):
    """One entry of the queue. `order`: what comes one after the other; "": nothing does."""

    entry: bytes
    order: str
    key: str
    body: bytes


class Aside(msgspec.Struct, frozen=True, array_like=True):
    """A delivery as it is written down: `attempts` were made, the first ended at `first_ms`; it is due at `due_ms`.
    `made_ms` is the time in its body."""

    attempts: int
    due_ms: int
    first_ms: int
    entries: tuple[bytes, ...]
    made_ms: int = 0


class Delivery:
    """One request, and what becomes of it. `missing`: entries that were not read yet."""

    __slots__ = ("attempts", "due_ms", "events", "first_ms", "is_written", "key", "made_ms", "missing", "places")

    def __init__(self, key: str, events: list[Event], made_ms: int) -> None:
        self.key = key
        self.events = events
        self.made_ms = made_ms
        self.attempts = 0
        self.due_ms = 0
        self.first_ms = 0
        self.missing: set[bytes] = set()
        self.places: dict[bytes, int] = {}
        self.is_written = False

    def aside(self) -> Aside:
        return Aside(self.attempts, self.due_ms, self.first_ms, tuple(one.entry for one in self.events), self.made_ms)


class State(msgspec.Struct, kw_only=True):
    """How the endpoint fares. Times in ms, 0: not so."""

    failing_since: int = 0
    failures: int = 0
    rests_until: int = 0
    last_taken: int = 0
    last_failed: int = 0
    delivered: int = 0
    given_up: int = 0
    disabled_at: int = 0
    why: str = ""


class Attempt(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """A line of the log. `next_ms`: when it goes again, 0: never. `request` and `answer` are beginnings."""

    at_ms: int
    key: str
    attempt: int
    events: int
    url: str
    status: int
    error: str
    detail: str
    duration_ms: int
    next_ms: int
    request: bytes
    answer: bytes


class Change(msgspec.Struct, kw_only=True):
    """What is to be written down together."""

    done: list[bytes] = msgspec.field(default_factory=list)
    aside: dict[str, Aside | None] = msgspec.field(default_factory=dict)
    given_up: list[bytes] = msgspec.field(default_factory=list)
    taken_log: list[Attempt] = msgspec.field(default_factory=list)
    failed_log: list[Attempt] = msgspec.field(default_factory=list)
    state: bool = False


#: Attempts that went well, of one change, that are shown: of an endpoint with thousands a second these are enough.
MOST_LOGGED = 20
REQUEST_BYTES = 4_000


class Window:
    """Of one endpoint. `batch`: events of one request at most. `batch_key` names several events that go together."""

    def __init__(
        self,
        state: State,
        aside: dict[str, Aside],
        *,
        url: str,
        batch: int,
        concurrency: int,
        disable_after_ms: int,
        batch_key: Callable[[Sequence[str]], str],
    ) -> None:
        self.state = state
        self._url = url
        self._batch = batch
        self._most_at_a_time = concurrency
        self._at_a_time = min(FIRST_AT_A_TIME, concurrency)
        self._disable_after_ms = disable_after_ms
        self._batch_key = batch_key
        self._ready: deque[Event] = deque()
        self._busy: dict[str, deque[Event]] = {}
        self._aside: dict[str, Delivery] = {}
        self._of_entry: dict[bytes, Delivery] = {}
        self._under_way: set[str] = set()
        self.in_hand = 0
        self._change = Change()
        for key, one in aside.items():
            delivery = Delivery(key, [], one.made_ms)
            delivery.attempts, delivery.due_ms, delivery.first_ms = one.attempts, one.due_ms, one.first_ms
            delivery.missing = set(one.entries)
            delivery.places = {entry: at for at, entry in enumerate(one.entries)}
            delivery.is_written = True
            self._aside[key] = delivery
            self._of_entry |= dict.fromkeys(one.entries, delivery)

    # What is read

    @property
    def rests(self) -> bool:
        """Whether nothing new is sent, until something is taken."""
        return self.state.failures >= RESTS_AFTER

    @property
    def is_disabled(self) -> bool:
        return bool(self.state.disabled_at)

    @property
    def room(self) -> int:
        """How many events may be read now."""
        if self.is_disabled:
            return 0
        if self._of_entry:  # what is aside stands further on
            return MOST_READ
        if self.rests and self._aside:
            return 0
        return min(MOST_READ, max(0, MOST_IN_HAND - self.in_hand))

    def take(self, entries: Sequence[Event], asked: int) -> None:
        """What was read behind what was read before; fewer than were `asked` for: the queue ends there."""
        for one in entries:
            self.in_hand += 1
            delivery = self._of_entry.pop(one.entry, None) if self._of_entry else None
            if delivery is not None:
                delivery.events.append(one)
                delivery.missing.discard(one.entry)
                if not delivery.missing:  # as they went together before: the same body
                    delivery.events.sort(key=lambda event: delivery.places[event.entry])
                self._block(one.order)
            else:  # also what will have to wait: one before it of the same order may be ready still
                self._ready.append(one)
        if self._of_entry and len(entries) < asked:
            self._vanished()

    def _vanished(self) -> None:
        """Entries of what is aside that are in the queue no more: there is nothing left of them to send."""
        for delivery in set(self._of_entry.values()):
            delivery.missing.clear()
            if not delivery.events:
                self._aside.pop(delivery.key, None)
                self._change.aside[delivery.key] = None
        self._of_entry.clear()

    def _block(self, order: str) -> None:
        if order and order not in self._busy:
            self._busy[order] = deque()

    # What is sent

    def next(self, now_ms: int) -> list[Delivery]:
        """What is to be sent now. Of several events it is written down first, under the key that they keep."""
        if self.is_disabled or now_ms < self.state.rests_until:
            return []
        most = 1 if self.rests else self._at_a_time
        found: list[Delivery] = []
        for delivery in self._due(now_ms):
            if len(self._under_way) >= most:
                return found
            found.append(self._sent(delivery))
        if self.rests and self._aside:
            return found
        while self._ready and len(self._under_way) < most:
            delivery_or_none = self._new(now_ms)
            if delivery_or_none is not None:
                found.append(self._sent(delivery_or_none))
        return found

    def _due(self, now_ms: int) -> list[Delivery]:
        if not self._aside:
            return []
        due = [
            one
            for one in self._aside.values()
            if one.due_ms <= now_ms and not one.missing and one.key not in self._under_way
        ]
        return sorted(due, key=lambda one: one.due_ms)

    def _sent(self, delivery: Delivery) -> Delivery:
        self._under_way.add(delivery.key)
        return delivery

    def _new(self, now_ms: int) -> Delivery | None:
        """Of what is ready, as many as go together; None: all that was looked at has to wait."""
        together: list[Event] = []
        mine: set[str] = set()
        size_bytes = 0
        while self._ready and len(together) < self._batch:
            one = self._ready.popleft()
            if one.order:
                if one.order in self._busy and one.order not in mine:
                    self._busy[one.order].append(one)
                    continue
                mine.add(one.order)
                self._block(one.order)
            together.append(one)
            size_bytes += len(one.body)
            if size_bytes > MOST_BYTES:
                break
        if not together:
            return None
        if len(together) == 1:
            return Delivery(together[0].key, together, now_ms)
        delivery = Delivery(self._batch_key([one.key for one in together]), together, now_ms)
        # Whoever goes on after a crash sends the same together, under the same key.
        delivery.is_written = True
        self._aside[delivery.key] = delivery
        self._change.aside[delivery.key] = delivery.aside()
        return delivery

    # What became of it

    def finished(self, delivery: Delivery, result: Result, now_ms: int, chance: float) -> None:
        """After its request."""
        self._under_way.discard(delivery.key)
        delivery.attempts += 1
        if result.is_taken:
            self._taken(delivery, result, now_ms)
        else:
            self._failed(delivery, result, now_ms, chance)

    def _taken(self, delivery: Delivery, result: Result, now_ms: int) -> None:
        state = self.state
        state.delivered += len(delivery.events)
        state.last_taken = now_ms
        state.failing_since = state.failures = state.rests_until = 0
        self._at_a_time = min(self._at_a_time + 1, self._most_at_a_time)
        self._change.state = True
        self._change.done += [one.entry for one in delivery.events]
        if len(self._change.taken_log) < MOST_LOGGED:
            self._change.taken_log.append(self._attempt(delivery, result, now_ms, 0))
        self._end(delivery)

    def _failed(self, delivery: Delivery, result: Result, now_ms: int, chance: float) -> None:
        state, change = self.state, self._change
        state.failing_since = state.failing_since or now_ms
        state.last_failed = now_ms
        state.failures += 1
        self._at_a_time = max(1, self._at_a_time // 2)
        change.state = True
        delivery.first_ms = delivery.first_ms or now_ms
        due_ms = schedule.next_ms(delivery.attempts, now_ms, result, chance)
        if result.is_gone:
            self._disable(now_ms, "gone")
            due_ms = due_ms or now_ms
        elif now_ms - state.failing_since >= self._disable_after_ms:
            self._disable(now_ms, "failing")
        if result.is_asked_to_wait and result.retry_after_s > 0:
            state.rests_until = max(state.rests_until, now_ms + int(result.retry_after_s * 1000))
        change.failed_log.append(self._attempt(delivery, result, now_ms, due_ms or 0))
        if due_ms is None:
            state.given_up += len(delivery.events)
            change.given_up += [one.entry for one in delivery.events]
            self._end(delivery)
            return
        delivery.due_ms = due_ms
        delivery.is_written = True
        self._aside[delivery.key] = delivery
        change.aside[delivery.key] = delivery.aside()
        if self.rests:  # and nobody looks after it before: whoever queues more for it leaves it alone
            waiting = [one.due_ms for one in self._aside.values() if one.key not in self._under_way]
            state.rests_until = max(state.rests_until, min(waiting))

    def _disable(self, now_ms: int, why: str) -> None:
        if not self.state.disabled_at:
            self.state.disabled_at, self.state.why = now_ms, why

    def _end(self, delivery: Delivery) -> None:
        """Nothing waits for it any more."""
        if delivery.is_written:
            self._aside.pop(delivery.key, None)
            self._change.aside[delivery.key] = None
        self.in_hand -= len(delivery.events)
        self._release(one.order for one in delivery.events if one.order)

    def _release(self, orders: Iterable[str]) -> None:
        for order in set(orders):
            # It was there before what came later: first in line again.
            self._ready.extendleft(reversed(self._busy.pop(order, ())))

    def _attempt(self, delivery: Delivery, result: Result, now_ms: int, next_ms: int) -> Attempt:
        first = delivery.events[0].body if delivery.events else b""
        return Attempt(
            at_ms=now_ms,
            key=delivery.key,
            attempt=delivery.attempts,
            events=len(delivery.events),
            url=self._url,
            status=result.status,
            error=result.error,
            detail=result.detail,
            duration_ms=result.duration_ms,
            next_ms=next_ms,
            request=first[:REQUEST_BYTES],
            answer=result.body,
        )

    # What is written down

    def change(self) -> Change:
        """What is to be written since the last call."""
        change, self._change = self._change, Change()
        return change

    @property
    def is_idle(self) -> bool:
        """Whether nothing is under way."""
        return not self._under_way

    def due_ms(self, now_ms: int) -> int | None:
        """When there is something to do, as far as is in hand; None: nothing is."""
        if self.is_disabled:
            return None
        times = [one.due_ms for one in self._aside.values() if one.key not in self._under_way]
        if self._ready and not (self.rests and self._aside):
            times.append(now_ms)
        return max(min(times), self.state.rests_until) if times else None

    def told(self) -> str:
        """For a line in the log."""
        since = f", failing since {rfc3339(self.state.failing_since)}" if self.state.failing_since else ""
        return f"{self.in_hand} in hand, {len(self._aside)} aside{since}"
