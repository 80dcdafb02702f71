"""What the sites of tenants ask: the script, and to take what it tells.

    GET HEAD  /w.js         the script, which a site embeds
    POST      /w/{token}    what a page tells: 204 once it is recorded

No cookie is set here, and none is asked for. A page of any site may send and read (CORS): the token is the right to it.
The body is text/plain, as `sendBeacon` sends a text, so that no browser asks first; any other type is as good.
"""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from aiohttp import ETag, web

from services.tracking.http import purpose_of
from services.tracking.visiting import CORS, MAX_BODY_BYTES, Visiting
from services.tracking.visits import Told, Visitor
from shared.http.api import Route, whole_list
from shared.net.client_ip import client_ip
from shared.words.errors import Problem

SCRIPT = (Path(__file__).parent / "w.js").read_bytes()
ETAG = sha256(SCRIPT).hexdigest()[:16]
#: An hour: a script that is mended is everywhere soon, and is not asked for with each page.
SCRIPT_HEADERS = {
    "Content-Type": "text/javascript; charset=utf-8",
    "Cache-Control": "public, max-age=3600",
    "ETag": f'"{ETAG}"',
    "Cross-Origin-Resource-Policy": "cross-origin",
    "X-Content-Type-Options": "nosniff",
    **CORS,
}


def routes(visiting: Visiting, now_ms: Callable[[], int], forwarded_hops: int = 0) -> list[Route]:
    """`now_ms` is the clock; `forwarded_hops` as of `http.routes`."""

    async def script(request: web.Request) -> web.Response:
        known = request.if_none_match or ()
        if any(tag.value in (ETAG, "*") for tag in known if isinstance(tag, ETag)):
            return web.Response(status=304, headers=SCRIPT_HEADERS)
        return web.Response(body=SCRIPT, headers=SCRIPT_HEADERS)

    async def tell(request: web.Request) -> web.Response:
        visitor = Visitor(
            ip=client_ip(request.remote or "", whole_list(request, "X-Forwarded-For"), forwarded_hops),
            user_agent=request.headers.get("User-Agent", ""),
            purpose=purpose_of(request),
            refuses="1" in (request.headers.get("DNT"), request.headers.get("Sec-GPC")),
        )
        await visiting.take(request.match_info["token"], await _body(request), visitor, now_ms())
        return web.Response(status=204, headers={"Cache-Control": "no-store", **CORS})

    return [
        Route(
            "GET",
            "/w.js",
            script,
            "The script by which a site tells of who came by a link, if they agree",
            name="get_web_script",
            tag="recipients",
            answers={200: "text/javascript", 304: None},
            any_query=True,
        ),
        Route(
            "POST",
            "/w/{token}",
            tell,
            "A page of a tenant's site tells what its visitor, who agreed, did there",
            name="tell_visit",
            tag="recipients",
            body=Told,
            body_media=("text/plain",),
            answers={204: None},
            problems=["unknown_visit", "too_many_visits"],
            any_query=True,
        ),
    ]


async def _body(request: web.Request) -> bytes:
    """All of it. Problem 413 if it is too large."""
    body = await request.content.read(MAX_BODY_BYTES + 1)
    while len(body) <= MAX_BODY_BYTES and (piece := await request.content.read(MAX_BODY_BYTES + 1)):
        body += piece
    if len(body) > MAX_BODY_BYTES:
        raise Problem("body_too_large", f"at most {MAX_BODY_BYTES} bytes", headers=CORS)
    return body
