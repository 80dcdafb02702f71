"""How a request is named: by its caller, or by us.

The caller's `X-Request-Id` is taken where it has the shape of an id; else the trace that its `traceparent` belongs to
(W3C Trace Context, level 1); else the server makes one. The name goes back in the answer, is kept with the job, and
stands on each line that the request causes, so it is bounded and has nothing in it that a line, or a header, could end
with.
"""

import re
from collections.abc import Callable

HEADER = "X-Request-Id"
TRACE_HEADER = "traceparent"
MAX_CHARS = 64

_ID = re.compile(r"[A-Za-z0-9._:=+/-]{1,64}")
#: Version, trace id, parent id, flags. What follows belongs to a version that is yet to come.
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")
_NO_TRACE = "0" * 32
_NO_SPAN = "0" * 16


def request_id(given: str | None, traceparent: str | None, made: Callable[[], str]) -> str:
    """The name of a request with these two headers, None where there is none."""
    if given is not None and _ID.fullmatch(given):
        return given
    return trace_id(traceparent) or made()


def trace_id(traceparent: str | None) -> str:
    """The 32 hex digits of the trace; "" where the header is not there, or is none."""
    found = trace_context(traceparent)
    return found[0] if found is not None else ""


def trace_context(traceparent: str | None) -> tuple[str, str, str] | None:
    """Trace id, parent id and flags, in hex; None where the header is not there, or is none."""
    found = _TRACEPARENT.fullmatch(traceparent) if traceparent else None
    if found is None or found[1] == _NO_TRACE or found[2] == _NO_SPAN:
        return None
    return found[1], found[2], found[3]
