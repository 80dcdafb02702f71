"""What holds until a time, by whatever it holds for; what is over is forgotten, and costs next to nothing. Pure."""

from collections.abc import Callable
from typing import Generic, TypeVar

#: So many are remembered before it is looked at all whether they are over.
FEW = 64

K = TypeVar("K")


class Until(Generic[K]):
    """Times in whatever unit, as long as it is one. Looking through all at each change would be dear where thousands of
    sites have one; so it is done when there are twice as many as were left the last time. `forgotten` is told of what
    is over then."""

    __slots__ = ("_forgotten", "_looked_at", "_until")

    def __init__(self, forgotten: Callable[[K], object] | None = None) -> None:
        self._forgotten = forgotten
        self._until: dict[K, float] = {}
        self._looked_at = FEW

    def __len__(self) -> int:
        return len(self._until)

    def of(self, one: K) -> float:
        """Until when, or 0."""
        return self._until.get(one, 0.0)

    def note(self, one: K, until: float, now: float) -> None:
        """From now on it holds until then, whatever was noted before."""
        self._until[one] = until
        if len(self._until) > self._looked_at:
            self._forget(now)

    def _forget(self, now: float) -> None:
        before, self._until = self._until, {one: until for one, until in self._until.items() if until > now}
        self._looked_at = max(FEW, 2 * len(self._until))
        if self._forgotten is not None:
            for one in before.keys() - self._until.keys():
                self._forgotten(one)
