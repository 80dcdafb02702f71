"""The recipients' side over aiohttp: decodes requests, hands them to `tracking`, and writes its answers out.

    GET HEAD  /o/{token}    the pixel
    GET HEAD  /c/{token}    302 to the signed destination
    GET HEAD  /d/{token}    the same of a tracked document; 410 once its link leads on no more
    GET HEAD  /u/{token}    a page with a button; never unsubscribes
    POST      /u/{token}    the button, and RFC 8058 one-click
    GET HEAD  /p/{token}    the page of preferences
    POST      /p/{token}    what was chosen there
    GET HEAD  /a/{token}    the page of an opt-in; with `?box` one that has a box to be ticked
    POST      /a/{token}    the opt-in

No key is asked for: the token is the right to what it says. What mail programs, gateways and shorteners append to a
link, a query or a slash, changes nothing.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace

from aiohttp import web

from services.tracking.deciding import MAX_FORM_BYTES, Request
from services.tracking.tracking import Tracking
from shared.http.api import Route, whole_list
from shared.net.client_ip import client_ip
from shared.words.tokens import Kind

#: A form of some bytes arrives at once, or its sender only wants to keep us waiting.
FORM_TIMEOUT_S = 10.0
_PAGE = "text/html"
_PURPOSES = ("Sec-Purpose", "Purpose", "X-Purpose", "X-Moz")


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
    document = answering("document")
    choosing, opting_in = answering("preferences"), answering("opt_in")
    form = "application/x-www-form-urlencoded"
    found = [
        Route(
            "GET",
            "/o/{token}",
            opened,
            "The pixel of a mail",
            name="open_message",
            answers={200: "image/gif", **errors},
        ),
        Route(
            "GET",
            "/c/{token}",
            clicked,
            "A link of a mail: on to its destination",
            name="follow_link",
            answers={302: None, **errors},
        ),
        Route(
            "HEAD",
            "/c/{token}",
            clicked,
            "The same, asked by a machine",
            name="check_link",
            answers={302: None, 404: None, 503: None},
        ),
        Route(
            "GET",
            "/d/{token}",
            document,
            "A tracked document: on to where it is; 410 once the link is over",
            name="open_document",
            answers={302: None, 410: _PAGE, **errors},
        ),
        Route(
            "HEAD",
            "/d/{token}",
            document,
            "A tracked document, asked for by a machine: nothing is recorded",
            name="check_document",
            answers={302: None, 404: None, 410: None, 503: None},
        ),
        Route(
            "GET",
            "/u/{token}",
            leaving,
            "The page to unsubscribe on",
            name="show_unsubscription",
            answers={200: _PAGE, **errors},
        ),
        Route(
            "POST",
            "/u/{token}",
            leaving,
            "Unsubscribe: the button of the page, or one click of a mail program (RFC 8058)",
            name="unsubscribe",
            answers={200: _PAGE, **errors},
            body_media=("application/x-www-form-urlencoded", "multipart/form-data"),
            body_optional=True,
        ),
        Route(
            "GET",
            "/p/{token}",
            choosing,
            "The page on which recipients say what they want",
            name="show_preferences",
            answers={200: _PAGE, **errors},
        ),
        Route(
            "POST",
            "/p/{token}",
            choosing,
            "What a recipient wants: `tracking` is `yes` or `no`, `leave` is `all`; what is not there stays",
            name="save_preferences",
            answers={200: _PAGE, **errors},
            body_media=(form,),
            body_optional=True,
        ),
        Route(
            "GET",
            "/a/{token}",
            opting_in,
            "The page with the button of an opt-in; with `?box` it has a box to be ticked, too",
            name="show_opt_in",
            answers={200: _PAGE, **errors},
        ),
        Route(
            "POST",
            "/a/{token}",
            opting_in,
            "The recipient opts in, by the button or, where `box` was asked, if `agree` is `yes`",
            name="opt_in",
            answers={200: _PAGE, **errors},
            body_media=(form,),
            body_optional=True,
        ),
    ]
    return [replace(route, tag="recipients", any_query=True, trailing_slash=True) for route in found]


def _request(request: web.Request, kind: Kind, body: bytes, forwarded_hops: int) -> Request:
    header = request.headers.get
    return Request(
        method=request.method,
        kind=kind,
        token=request.match_info["token"],
        ip=client_ip(request.remote or "", whole_list(request, "X-Forwarded-For"), forwarded_hops),
        user_agent=header("User-Agent", ""),
        accept_language=whole_list(request, "Accept-Language"),
        purpose=purpose_of(request),
        content_type=header("Content-Type", ""),
        body=body,
        query=request.query_string,
    )


def purpose_of(request: web.Request) -> str:
    """What a browser says that it asks for, if not for somebody to look at."""
    return next((said for name in _PURPOSES if (said := whole_list(request, name))), "")


async def _form(request: web.Request) -> bytes:
    """The beginning of the body, as much of it as comes in time. The POST itself says what is wanted; the body only
    says who asks. So nobody who wants to leave is turned away because of what else their program sends."""
    form = bytearray()
    try:
        async with asyncio.timeout(FORM_TIMEOUT_S):
            async for chunk in request.content.iter_any():
                form += chunk
                if len(form) >= MAX_FORM_BYTES:
                    break
    except (TimeoutError, web.RequestPayloadError):
        pass  # what is there will do
    return bytes(form[:MAX_FORM_BYTES])
