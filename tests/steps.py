"""How much work a call is: counted, so that it is the same on every machine, and shows when it grows.

The collector of garbage rests meanwhile: when it runs depends on what ran before, and what is called at its runs
(hypothesis measures them) would count as work of the call.
"""

import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


def steps(call: Callable[[], object]) -> int:
    """Instructions of the interpreter that the call takes; what is done in C counts once."""
    count = 0

    def traced(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal count
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        count += event == "opcode"
        return traced

    before = sys.gettrace()
    with _uncollected():
        sys.settrace(traced)
        try:
            call()
        finally:
            sys.settrace(before)
    return count


def calls(call: Callable[[], object]) -> int:
    """Functions that the call calls, of Python and of C: less exact than `steps`, and ten times as fast."""
    count = 0

    def called(_frame: FrameType, event: str, _argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    with _uncollected():
        sys.setprofile(called)
        try:
            call()
        finally:
            sys.setprofile(None)
    return count


@contextmanager
def _uncollected() -> Iterator[None]:
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
