"""The recipients' side over aiohttp: decodes requests, hands them to `tracking`, and writes its answers out.

    GET       /o/{token}    the pixel
    GET HEAD  /c/{token}    302 to the signed destination
    GET       /u/{token}    a page with a button; never unsubscribes
    POST      /u/{token}    the button, and RFC 8058 one-click

No key is asked for: the token is the right to what it says.
"""

import asyncio
from collections.abc import Callable
from ipaddress import ip_address

from aiohttp import web

from services.tracking.tracking import MAX_FORM_BYTES, Request, Tracking
from shared.api import Route
from shared.errors import Problem
from shared.tokens import Kind

#: A form of some bytes arrives at once, or its sender only wants to keep us waiting.
FORM_TIMEOUT_S = 10.0
_PAGE = "text/html"


def routes(tracking: Tracking, now_ms: Callable[[], int], forwarded_hops: int = 0) -> list[Route]:
    """`now_ms` is the clock. `forwarded_hops` says how many reverse proxies of ours stand in front, each of which
    appends to X-Forwarded-For; 0 believes nobody and takes the address of the connection."""

    def answering(kind: Kind) -> Callable[[web.Request], "asyncio.Future[web.Response]"]:
        async def answer(request: web.Request) -> web.Response:
            body = await _form(request) if request.method == "POST" else b""
            answer = await tracking.answer(_request(request, kind, body, forwarded_hops), now_ms())
            return web.Response(status=answer.status, headers=answer.headers, body=answer.body)

        return answer  # type: ignore[return-value]

    errors = {404: _PAGE, 503: _PAGE}
    opened, clicked, leaving = answering("open"), answering("click"), answering("unsubscribe")
    return [
        Route("GET", "/o/{token}", opened, "The pixel of a mail", answers={200: "image/gif", **errors}),
        Route("GET", "/c/{token}", clicked, "A link of a mail: on to its destination", answers={302: None, **errors}),
        Route("HEAD", "/c/{token}", clicked, "The same, asked by a machine", answers={302: None, 404: None, 503: None}),
        Route("GET", "/u/{token}", leaving, "The page to unsubscribe on", answers={200: _PAGE, **errors}),
        Route(
            "POST",
            "/u/{token}",
            leaving,
            "Unsubscribe: the button of the page, or one click of a mail program (RFC 8058)",
            answers={200: _PAGE, **errors},
            body_media=("application/x-www-form-urlencoded", "multipart/form-data"),
        ),
    ]


def _request(request: web.Request, kind: Kind, body: bytes, forwarded_hops: int) -> Request:
    header = request.headers.get
    return Request(
        method=request.method,
        kind=kind,
        token=request.match_info["token"],
        ip=client_ip(request.remote or "", header("X-Forwarded-For", ""), forwarded_hops),
        user_agent=header("User-Agent", ""),
        accept_language=header("Accept-Language", ""),
        purpose=header("Sec-Purpose") or header("Purpose") or header("X-Purpose") or header("X-Moz") or "",
        content_type=header("Content-Type", ""),
        body=body,
    )


def client_ip(remote: str, forwarded_for: str, hops: int) -> str:
    """The address that our outermost proxy saw: the `hops`-th from the end, for what stands before was written by
    others. The connection's address where the header is shorter than that, or holds something else there."""
    if not hops or not forwarded_for:
        return remote
    seen = forwarded_for.split(",")
    if len(seen) < hops:
        return remote
    try:
        return str(ip_address(seen[-hops].strip()))
    except ValueError:
        return remote


async def _form(request: web.Request) -> bytes:
    """The body, which is small. Problem 413 if it is not, 408 if it does not come."""
    if (request.content_length or 0) > MAX_FORM_BYTES:
        raise _too_large()
    form = bytearray()
    try:
        async with asyncio.timeout(FORM_TIMEOUT_S):
            async for chunk in request.content.iter_any():
                form += chunk
                if len(form) > MAX_FORM_BYTES:
                    raise _too_large()
    except TimeoutError:
        raise Problem(408, "body_too_late", "the body did not arrive in time") from None
    return bytes(form)


def _too_large() -> Problem:
    return Problem(413, "body_too_large", f"the form has at most {MAX_FORM_BYTES} bytes")
