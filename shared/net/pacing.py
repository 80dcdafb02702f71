"""How often each of many may do something, by whoever they are: agreed by all that slow somebody down. Pure."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Pacing(Generic[K]):
    """A bucket of `at_once` each, filled by one each `each_s`; `most` of them are known, those who came last.
    `monotonic` gives s."""

    def __init__(self, monotonic: Callable[[], float], at_once: int, each_s: float, most: int) -> None:
        self._monotonic = monotonic
        self._room_s = (at_once - 1) * each_s
        self._each_s = each_s
        self._most = most
        #: When each of them would have done everything at their pace: far behind now, and there is room.
        self._even_s: OrderedDict[K, float] = OrderedDict()

    def allows(self, who: K) -> bool:
        now_s = self._monotonic()
        even_s = max(self._even_s.pop(who, now_s), now_s)
        is_allowed = even_s - now_s <= self._room_s
        self._even_s[who] = even_s + self._each_s if is_allowed else even_s
        if len(self._even_s) > self._most:
            self._even_s.popitem(last=False)
        return is_allowed
