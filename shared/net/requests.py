"""The request under way: its id, which its answer and each line that it causes carry, and the line of one that failed.

A task that a request starts sees the request as well. What outlives it (a pool, a batch for many) must not speak in its
name, hence `is_over`.
"""

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import structlog
from aiohttp import web
from prometheus_client import Counter

from shared.words.request_ids import HEADER, TRACE_HEADER, request_id

#: Lines of requests that fail, a second and process: whoever guesses paths or tokens shall not fill a disk.
LINES_PER_S = 50
#: Asked every few seconds; what they say has a line when it changes.
PROBES = ("/healthz", "/readyz")
#: Where an answer keeps the word of its problem.
PROBLEM = web.ResponseKey("problem", str)

UNTOLD = Counter("estafette_http_untold_failures_total", "Requests that failed and have no line in the log: too many")


class Asked:
    """A request. `tenant` is known once its key is; `trace` is what its job carries on (`shared.process.tracing`)."""

    __slots__ = ("id", "is_over", "tenant", "trace")

    def __init__(self, name: str) -> None:
        self.id = name
        self.tenant = ""
        self.trace = ""
        self.is_over = False


CURRENT: ContextVar[Asked | None] = ContextVar("request", default=None)


def current_id() -> str:
    """The id of the request under way; "" where there is none."""
    asked = CURRENT.get()
    return "" if asked is None or asked.is_over else asked.id


def current_trace() -> str:
    """What the request under way hands on; "" where it is not traced."""
    asked = CURRENT.get()
    return "" if asked is None or asked.is_over else asked.trace


class Failures:
    """Writes a line for each request that failed, up to so many a second; `now_s` is a monotonic clock."""

    def __init__(self, now_s: Callable[[], float], lines_per_s: int = LINES_PER_S) -> None:
        self._now_s = now_s
        self._lines_per_s = lines_per_s
        self._second = 0
        self._lines = 0
        self._untold = 0

    def tell(self, request: web.BaseRequest, answer: web.StreamResponse, asked: Asked, began_s: float) -> None:
        """The route and not the path, and no query: in those stand tokens and addresses."""
        route = route_of(request)
        if route in PROBES:
            return
        took_s = self._now_s() - began_s
        self.tell_of(route, request.method[:20], answer.status, asked.id, took_s, answer.get(PROBLEM), asked.tenant)

    def tell_of(
        self,
        route: str | None,
        method: str,
        status: int,
        name: str,
        took_s: float,
        problem: str | None = None,
        tenant: str = "",
    ) -> None:
        """The same of a request that is known by its parts; `name` is its id."""
        if not self._may_tell(int(self._now_s())):
            UNTOLD.inc()
            self._untold += 1
            return
        fields: dict[str, Any] = {"request": name, "method": method, "route": route, "status": status}
        fields["ms"] = round(took_s * 1000, 1)
        if problem is not None:
            fields["problem"] = problem
        if tenant:
            fields["tenant"] = tenant
        if self._untold:
            fields["untold"], self._untold = self._untold, 0
        log = structlog.get_logger("http")
        # 503 is the word for what is away, which has a line of its own.
        (log.warning if status >= 500 and status != 503 else log.info)("request_refused", **fields)

    def _may_tell(self, second: int) -> bool:
        if second != self._second:
            self._second, self._lines = second, 0
        self._lines += 1
        return self._lines <= self._lines_per_s


def route_of(request: web.BaseRequest) -> str | None:
    """The template of the route, as `/v1/jobs/{job}`; None where none was found, or looked for."""
    found = getattr(request, "_match_info", None)  # the public one asserts that there is one
    resource = found.route.resource if found is not None else None
    return resource.canonical if resource is not None else None


def asked(request: web.BaseRequest, made: Callable[[], str]) -> Asked:
    """The request as the one under way."""
    headers = request.headers
    now = Asked(request_id(headers.get(HEADER), headers.get(TRACE_HEADER), made))
    CURRENT.set(now)
    return now
