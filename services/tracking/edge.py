"""Openings, clicks and documents without aiohttp: what `shared.net.quick` offers becomes a `Request`, and its `Answer`
bytes.

The same as `http.py` says of them, by the same `Tracking`. What is none of the three, whose token is not good, or about
whose recipient somebody has to be asked, is not taken: it goes on to the routes of `http.py`, which have a word
for it.
"""

from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from typing import Any, Protocol

from services.tracking.deciding import PIXEL_HEADERS, REDIRECT_HEADERS, Answer, Request
from shared.http.api import REQUESTS, SECONDS
from shared.net.client_ip import client_ip
from shared.net.heads import Head
from shared.net.quick import Quick, Reply, line, lines
from shared.words.tokens import Kind

_KINDS: Mapping[bytes, Kind] = {b"/o/": "open", b"/c/": "click", b"/d/": "document"}
_ROUTES: Mapping[Kind, str] = {"open": "/o/{token}", "click": "/c/{token}", "document": "/d/{token}"}


class Tracking(Protocol):
    def begin(self, request: Request, now_ms: int, told: Callable[[Answer], None]) -> bool: ...


def edge(tracking: Tracking, now_ms: Callable[[], int], monotonic: Callable[[], float], forwarded_hops: int) -> Quick:
    """`monotonic` gives seconds; `forwarded_hops` as of `http.routes`."""

    def takes(head: Head, remote: str, reply: Callable[[Reply], None]) -> bool:
        """What is appended to a link, a slash and a query, changes nothing."""
        target = head.target
        kind = _KINDS.get(target[:3])
        if kind is None or b"#" in target:
            return False
        token = target[3:].partition(b"?")[0].removesuffix(b"/").decode("latin-1")
        began_s = monotonic()

        def told(answer: Answer) -> None:
            status = answer.status
            _seconds(kind).observe(monotonic() - began_s)
            _requests(kind, status).inc()
            reply(Reply(status, fields_of(answer), answer.body, _ROUTES[kind]))

        field = head.fields.get
        request = Request(
            method=head.method,
            kind=kind,
            token=token,
            ip=client_ip(remote, _decoded(field(b"x-forwarded-for")) if forwarded_hops else "", forwarded_hops),
            user_agent=_text(field(b"user-agent")),
            accept_language=_text(field(b"accept-language")),
            purpose=_text(field(b"sec-purpose") or field(b"purpose") or field(b"x-purpose") or field(b"x-moz")),
        )
        return tracking.begin(request, now_ms(), told)

    return takes


def fields_of(answer: Answer) -> bytes:
    """The lines of its fields. Of a redirect all but one are always the same, and a signed destination has no end of a
    line in it."""
    headers = answer.headers
    if headers is PIXEL_HEADERS:
        return _PIXEL_FIELDS
    if answer.status == 302 and len(headers) == len(REDIRECT_HEADERS) + 1:
        return _REDIRECT_FIELDS + line("Location", headers["Location"])
    return lines(headers)


_PIXEL_FIELDS = lines(PIXEL_HEADERS)
_REDIRECT_FIELDS = lines(REDIRECT_HEADERS)


def _decoded(value: bytes | None) -> str:
    """As aiohttp reads it."""
    return (value or b"").decode("utf-8", "surrogateescape")


#: Remembered: the same browsers and languages come all day.
_text = lru_cache(4096)(_decoded)


@cache
def _seconds(kind: Kind) -> Any:
    return SECONDS.labels(_ROUTES[kind])


@cache
def _requests(kind: Kind, status: int) -> Any:
    return REQUESTS.labels(_ROUTES[kind], str(status))
