"""Work on what one request brings: at once where it is small, in a thread where it may be large.

A thread that works on Python's objects takes turns with the loop's, some milliseconds each; with ten such threads the
loop has one turn of eleven. So one tenant has one thread at a time, however many requests they send together.
"""

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar
from weakref import WeakValueDictionary

#: Of a body or a content: what is done with less takes about a millisecond, and a thread costs a fifth of that.
SMALL_BYTES = 16_384

P = ParamSpec("P")
T = TypeVar("T")


class Aside:
    """Of one process."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def do(self, tenant: str, size_bytes: int, call: Callable[P, T], *words: P.args, **named: P.kwargs) -> T:
        """What `call` gives or raises; `size_bytes` is that of what it looks at."""
        if size_bytes <= SMALL_BYTES:
            return call(*words, **named)
        lock = self._locks.get(tenant)
        if lock is None:
            lock = self._locks[tenant] = asyncio.Lock()
        async with lock:
            return await asyncio.to_thread(call, *words, **named)
