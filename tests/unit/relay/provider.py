"""A provider that refuses above a pace it does not tell, and relays that find it, all in simulated time.

The relays decide by `shared.words.pace`, send by `shared.words.rates`, and know of each other what they know
in life: the counts of others in the last half second are missing, the pace is up to half a second old, refusals are
reported late and by several at once.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from shared.words.pace import (
    BUCKET_MS,
    BUCKETS,
    Pace,
    Seen,
    current_rate,
    seen,
    slowed,
)
from shared.words.rates import spacing

STEP_S = 0.1
VIEW_S = 0.5
LATEST_REPORT_S = 1.0


@dataclass
class Fixed:
    """Takes so many in each window by the clock."""

    per_s: float
    window_s: float
    taken: float = 0
    window: int = -1

    def take(self, now_s: float, count: int) -> int:
        if (window := int(now_s // self.window_s)) != self.window:
            self.window, self.taken = window, 0
        accepted = max(0, min(count, round(self.per_s * self.window_s - self.taken)))
        self.taken += accepted
        return accepted


@dataclass
class Sliding:
    """Takes so many in any window."""

    per_s: float
    window_s: float
    taken: deque[tuple[float, int]] = field(default_factory=deque)
    total: int = 0

    def take(self, now_s: float, count: int) -> int:
        while self.taken and self.taken[0][0] <= now_s - self.window_s + 1e-9:
            self.total -= self.taken.popleft()[1]
        accepted = max(0, min(count, round(self.per_s * self.window_s) - self.total))
        self.taken.append((now_s, accepted))
        self.total += accepted
        return accepted


Provider = Fixed | Sliding


@dataclass
class Minute:
    accepted: int = 0
    refused: int = 0

    @property
    def attempted_per_s(self) -> float:
        return (self.accepted + self.refused) / 60

    @property
    def accepted_per_s(self) -> float:
        return self.accepted / 60


class Relays:
    """Several relays that send `demand_per_s` to one provider. `minutes`: what it saw."""

    def __init__(self, provider: Callable[[float], Provider | None], demand: Callable[[float], float], seed: int = 0):
        self._provider = provider
        self._demand = demand
        self._random = Random(seed)
        self._pace: Pace | None = None
        self._viewed: Pace | None = None
        self._due_us = 0.0
        self._waiting = 0.0
        self._reports: deque[float] = deque()
        self._counts: dict[int, list[int]] = {}
        self._latest: deque[tuple[float, int]] = deque(maxlen=round(VIEW_S / STEP_S))
        self.minutes: list[Minute] = []
        self.decreases: list[float] = []

    def run(self, minutes: float) -> None:
        begun_s = len(self.minutes) * 60
        for step in range(int(minutes * 60 / STEP_S)):
            now_s = begun_s + step * STEP_S
            if now_s % 60 < STEP_S / 2 or not self.minutes:
                self.minutes.append(Minute())
            if step % round(VIEW_S / STEP_S) == 0:
                self._viewed = self._pace
            self._send(now_s)
            self._report(now_s)

    @property
    def unlimited(self) -> bool:
        return self._viewed is None or current_rate(self._viewed, len(self.minutes) * 60_000) is None

    def _send(self, now_s: float) -> None:
        # What could not be sent for ten seconds waits elsewhere.
        demand = self._demand(now_s)
        self._waiting = min(self._waiting + demand * STEP_S, demand * 10 + 1)
        count = min(int(self._waiting), self._permitted(now_s))
        if count == 0:
            return
        self._waiting -= count
        provider = self._provider(now_s)
        accepted = count if provider is None else provider.take(now_s, count)
        self.minutes[-1].accepted += accepted
        self.minutes[-1].refused += count - accepted
        counted = self._counts.setdefault(int(now_s * 1000 // BUCKET_MS), [0, 0])
        counted[0] += accepted
        self._latest.append((now_s, accepted))
        counted[1] += count - accepted
        for _ in range(min(3, count - accepted)):
            self._reports.append(now_s + self._random.uniform(0.05, LATEST_REPORT_S))

    def _permitted(self, now_s: float) -> int:
        """As GCRA permits when each is asked for at its time."""
        if self._viewed is None or (rate := current_rate(self._viewed, int(now_s * 1000))) is None:
            return 1_000_000
        spaced = spacing(rate)
        end_us = (now_s + STEP_S) * 1_000_000
        self._due_us = min(max(self._due_us, now_s * 1_000_000), end_us + spaced.tolerance_us + spaced.interval_us)
        count = max(0, int((end_us + spaced.tolerance_us - self._due_us) // spaced.interval_us) + 1)
        count = min(count, int(self._waiting))
        self._due_us += count * spaced.interval_us
        return count

    def _report(self, now_s: float) -> None:
        due = [at for at in self._reports if at <= now_s]
        if not due:
            return
        self._reports = deque(at for at in self._reports if at > now_s)
        now_ms = int(now_s * 1000)
        before = self._pace
        self._pace = slowed(self._pace, self._seen(now_s), now_ms)
        if before is None or self._pace.at_ms != before.at_ms:
            self.decreases.append(now_s)

    def _seen(self, now_s: float) -> Seen:
        """Who asks knows its own third of the last half second."""
        now = int(now_s * 1000 // BUCKET_MS)
        counts = [self._counts.get(bucket, [0, 0]) for bucket in range(now - BUCKETS + 1, now + 1)]
        buckets = [(accepted, refused) for accepted, refused in counts]
        accepted, refused = buckets[-1]
        buckets[-1] = (max(0, accepted - int(self._unknown(now_s))), refused)
        return seen(buckets, int(now_s * 1000) - now * BUCKET_MS)

    def _unknown(self, now_s: float) -> float:
        return sum(count for at, count in self._latest if at > now_s - VIEW_S) * 2 / 3
