"""What HTTP routes of all services agree on: who may call, how bodies are read, how errors look, what OpenAPI says.

Each service offers `routes()`; `application()` mounts any number of them on one aiohttp application, with the
authentication by API key, the problem documents of RFC 9457 and, at `/v1/openapi.json`, a document made from the same
routes.
"""

import asyncio
from codecs import BOM_UTF8
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar, cast, runtime_checkable
from urllib.parse import unquote_to_bytes

import msgspec
import orjson
from aiohttp import web
from prometheus_client import Counter, Histogram

from shared.http import query
from shared.http.openapi import openapi as openapi
from shared.http.route import Call as Call
from shared.http.route import Route as Route
from shared.http.traced import traced
from shared.http.turns import Turns
from shared.net.client_ip import client_ip
from shared.net.problems import answer_errors, refuse_encoded
from shared.net.problems import problem_answer as problem_answer
from shared.net.requests import CURRENT
from shared.process.tracing import Tracer
from shared.words.errors import NOT_JSON, Fault, Problem, StorageAway
from shared.words.principal import Principal as Principal
from shared.words.principal import refusal, refused_to_sandbox
from shared.words.quotas import Admission

REQUESTS = Counter("estafette_http_requests_total", "HTTP requests answered", ["route", "status"])
SECONDS = Histogram(
    "estafette_http_request_seconds",
    "Time to answer an HTTP request",
    ["route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
)

#: What is shown of a name or a value that is wrong.
MAX_SHOWN_CHARS = 200

#: Fields that are one value and no list: two lines of one are a fault of the caller, or an attack (RFC 9110, 5.3).
_ONCE = ("Authorization", "Content-Type", "Host", "Estafette-Tenant")
#: By which the key of a tenant asks as one of its sub-accounts.
ACTING = "Estafette-Tenant"


#: Where a scoped route finds its caller: `request[api.PRINCIPAL].tenant`.
PRINCIPAL = web.RequestKey("principal", Principal)
_QUERY = web.RequestKey("query", object)
_TURNS = web.RequestKey("turns", Turns)


class KeyRing(Protocol):
    async def verify(self, text: str) -> Principal | None:
        """Whose key it is, or None if it is nobody's."""


@runtime_checkable
class OfSubAccounts(Protocol):
    async def acting(self, principal: Principal, name: str) -> Principal | None:
        """The caller as one of its sub-accounts, or None if it has none of that name."""


S = TypeVar("S")
_decoders: dict[Any, msgspec.json.Decoder[Any]] = {}


async def read_json(request: web.Request, shape: type[S]) -> S:
    """The body as that Struct. Problem 400 if it is not JSON, 413 if too large, 415 if it says to be something else,
    422 with the path if it does not fit."""
    return fit(await read_json_bytes(request), shape)


async def read_json_bytes(request: web.Request) -> bytes:
    """The body, which says to be JSON, for whoever reads it by themselves. The same problems, but for what it holds."""
    _check_type(request)
    return await read_body(request)


async def read_json_or(request: web.Request, absent: S) -> S:
    """As `read_json`, or what holds where there is no body; whatever type the request then says that it has."""
    body = await read_body(request)
    if not body:
        return absent
    _check_type(request)
    return fit(body, type(absent))


def _check_type(request: web.Request) -> None:
    if request.content_type not in ("application/json", "application/octet-stream"):
        raise Problem("unsupported_media_type", f"expected application/json, got {request.content_type[:100]}")


async def read_body(request: web.Request) -> bytes:
    """All of it, once, but for the mark that some editors put before UTF-8 (RFC 8259 section 8.1 lets us pass it over).
    Problem 413 if it is too large. A body of one piece, as most are, is not copied, and others once: the library's own
    reader copies 8 MB three times, in which the loop has nobody else."""
    pieces: list[bytes] = []
    size_bytes = 0
    while piece := await request.content.readany():
        received(request, piece)
        pieces.append(piece)
        size_bytes += len(piece)
        if size_bytes > request.client_max_size:
            raise Problem("body_too_large", "the body is larger than the server takes")
    body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
    return body.removeprefix(BOM_UTF8)


def received(request: web.Request, piece: bytes) -> None:
    """A piece of the body is there: receiving it counts for the tenant, as does what is done with it."""
    if (turns := request.get(_TURNS)) is not None:
        turns.received(len(piece))


def fit(body: bytes, shape: type[S]) -> S:
    """JSON bytes as a Struct; the same problems as `read_json`."""
    decoder = _decoders.get(shape)
    if decoder is None:
        decoder = _decoders[shape] = msgspec.json.Decoder(shape)
    try:
        return decoder.decode(body)  # type: ignore[no-any-return]
    except msgspec.ValidationError as fault:
        what, _, at = str(fault).partition(" - at `")
        shown = Fault((at.rstrip("`") or "$")[:MAX_SHOWN_CHARS], what[:MAX_SHOWN_CHARS])
        raise Problem("invalid_body", "the body does not fit", [shown]) from fault
    except NOT_JSON as fault:
        raise Problem("malformed_json", f"the body is not JSON: {fault}") from fault


def query_of(request: web.Request, shape: type[S]) -> S:
    """The parameters of the query as the Struct that the route declares. They were checked before it was called."""
    return cast(S, request[_QUERY])


def path_text(request: web.Request, name: str) -> str:
    """A parameter of the path that is anybody's text, such as an address. Problem 422 if it is not UTF-8: the library
    leaves such bytes as they were written, which would be another text."""
    try:
        unquote_to_bytes(request.rel_url.raw_path).decode()
    except UnicodeDecodeError as error:
        what = "its percent-encoded bytes are not UTF-8"
        raise Problem("invalid_path", f"the path does not fit: {what}", [Fault(name, what)]) from error
    return request.match_info[name]


def whole_list(request: web.Request, name: str) -> str:
    """A header field that is a list: its lines are one list, in their order (RFC 9110, 5.3), and "" is none."""
    return ", ".join(request.headers.getall(name, ()))


def unknown_job() -> Problem:
    """The same by every route, for a job that is not there and for another tenant's."""
    return Problem("unknown_job", "there is no such job")


def json_answer(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(
        body=orjson.dumps(content, default=msgspec.to_builtins),
        status=status,
        content_type="application/json",
        headers=headers,
    )


def application(
    routes: Iterable[Route],
    key_ring: KeyRing,
    *,
    max_body_bytes: int,
    admission: Admission | None = None,
    turns: Turns | None = None,
    tracer: Tracer | None = None,
    forwarded_hops: int = 0,
) -> web.Application:
    """One aiohttp application with all the routes, and `/v1/openapi.json` that describes them. `admission` holds the
    tenants to what they may ask for; in `turns` they share the loop, which one application has to itself.
    `forwarded_hops`: reverse proxies of ours in front, by whose word an address is known (`client_ip`)."""
    mounted = [traced(route, tracer) for route in routes]
    turns = turns or Turns()
    document = orjson.dumps(openapi(mounted))

    async def describe(request: web.Request) -> web.StreamResponse:
        return web.Response(body=document, content_type="application/json")

    app = web.Application(client_max_size=max_body_bytes, middlewares=[answer_errors, refuse_encoded])
    if admission is not None:
        app.on_response_prepare.append(_telling(admission))
    told_apart = {route.path for route in mounted if route.method == "HEAD"}
    for route in (*mounted, Route("GET", "/v1/openapi.json", describe, "This document", tag="process")):
        # What can be asked with GET can be asked with HEAD; the server leaves the body out (RFC 9110, 9.1 and 9.3.2).
        too_head = route.method == "GET" and route.path not in told_apart
        methods = (route.method, "HEAD") if too_head else (route.method,)
        _mount(app, route, methods, key_ring, admission, turns, forwarded_hops)
    return app


def _telling(admission: Admission) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    """Each answer to a key tells what is left of the tenant's requests, unless it tells of another quota."""

    async def tell(request: web.Request, response: web.StreamResponse) -> None:
        principal = request.get(PRINCIPAL)
        if principal is not None and "RateLimit" not in response.headers:
            response.headers.update(admission.told(principal.tenant, principal.quotas))

    return tell


def _mount(
    app: web.Application,
    route: Route,
    methods: Sequence[str],
    key_ring: KeyRing,
    admission: Admission | None,
    turns: Turns,
    forwarded_hops: int,
) -> None:
    once = (*_ONCE, *route.headers)
    seconds = SECONDS.labels(route.path)
    statuses: dict[int, Any] = {}

    async def called(request: web.Request) -> web.StreamResponse:
        with seconds.time():
            response = await _authenticated(request)
        counter = statuses.get(response.status)
        if counter is None:
            counter = statuses[response.status] = REQUESTS.labels(route.path, str(response.status))
        counter.inc()
        return response

    async def _authenticated(request: web.Request) -> web.StreamResponse:
        try:
            if not route.any_query:
                _refuse_repeated(request, once)
            if route.scope is None:
                _read_query(request, route)
                turns.light()
                return await route.call(request)
            principal = request[PRINCIPAL] = await _principal(request, route.scope, key_ring, forwarded_hops)
            _refuse_sandbox(route, principal)
            _read_query(request, route)
            request[_TURNS] = turns
            return await turns.run(principal.tenant, _admitted(request, principal))
        except Problem as problem:
            if problem.status == 429 and admission is not None and (refused := request.get(PRINCIPAL)) is not None:
                await asyncio.sleep(admission.refusal_wait_s(refused.tenant, request.content_length or 0))
            return problem_answer(problem)
        except StorageAway:
            return problem_answer(
                Problem("unavailable", "storage does not answer; try again", headers={"Retry-After": "1"})
            )

    async def _admitted(request: web.Request, principal: Principal) -> web.StreamResponse:
        if admission is None:
            return await route.call(request)
        with (  # before its body is read
            admission.bounded(principal.parent, principal.parent_quotas),
            admission.admitted(principal.tenant, principal.quotas),
        ):
            return await route.call(request)

    for method in methods:
        app.router.add_route(method, route.pattern, called)
        if route.trailing_slash:
            app.router.add_route(method, f"{route.pattern}/", called)


def _refuse_sandbox(route: Route, principal: Principal) -> None:
    """Whatever changes something says itself that it keeps the sandbox apart; a new route does not by itself."""
    if route.sandbox or route.method == "GET":
        return
    if (refused := refused_to_sandbox(principal, "it may not change what is real")) is not None:
        raise refused


def _refuse_repeated(request: web.Request, once: Sequence[str]) -> None:
    """Which of the two is meant nobody knows: a proxy may have looked at the other one."""
    if repeated := [name for name in once if len(request.headers.getall(name, ())) > 1]:
        faults = [Fault(name, "given more than once") for name in repeated]
        raise Problem("repeated_header", "a header that has one value was given more than once", faults)


def _read_query(request: web.Request, route: Route) -> None:
    """A parameter that is misspelled, or given twice, would else be passed over: with another effect than meant."""
    if route.any_query:
        return
    shape = route.query
    faults = _unknown(request, route) if request.query else []
    if shape is not None:
        values, misfits = query.decode(shape, request.query)
        faults += misfits
        if not faults:
            request[_QUERY] = shape(**values)
    if faults:
        raise Problem("invalid_query", "the query does not fit", faults)


def _unknown(request: web.Request, route: Route) -> list[Fault]:
    given = request.query
    names = route.query.__struct_encode_fields__ if route.query is not None else ()
    known = f"there are {', '.join(f'?{name}' for name in names)}" if names else "this route has none"
    faults = []
    for name in dict.fromkeys(given):
        if name not in names:
            faults.append(Fault(f"?{name[:MAX_SHOWN_CHARS]}", f"there is no such parameter; {known}"))
        elif len(given.getall(name)) > 1:
            faults.append(Fault(f"?{name}", "given more than once"))
    return faults


def _address(request: web.Request, forwarded_hops: int) -> str:
    return client_ip(request.remote or "", whole_list(request, "X-Forwarded-For"), forwarded_hops)


async def _principal(request: web.Request, scope: str, key_ring: KeyRing, forwarded_hops: int) -> Principal:
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    challenge = {"WWW-Authenticate": 'Bearer realm="estafette"'}
    if scheme.lower() != "bearer" or not key.strip():
        raise Problem("no_key", "send Authorization: Bearer <key>", headers=challenge)
    principal = await key_ring.verify(key.strip())
    if principal is None:
        raise Problem("unknown_key", "the key is not known, or was revoked", headers=challenge)
    if (asked := CURRENT.get()) is not None:
        asked.tenant = principal.tenant
    if (refused := refusal(principal, _address(request, forwarded_hops) if principal.networks else "")) is not None:
        raise refused
    if (name := request.headers.get(ACTING, "")) and name != principal.tenant:
        principal = await _acting(principal, name, key_ring)
        if asked is not None:
            asked.tenant = principal.tenant
    if scope not in principal.scopes:
        raise Problem("missing_scope", f"the key lacks the scope {scope!r}")
    return principal


async def _acting(principal: Principal, name: str, key_ring: KeyRing) -> Principal:
    """The caller as the sub-account that the request names. Problem 403, 404: the same for one that is not there and
    one of somebody else."""
    if "admin" not in principal.scopes:
        raise Problem("missing_scope", f"{ACTING} asks for the scope 'admin', and the key lacks it")
    found = await key_ring.acting(principal, name) if isinstance(key_ring, OfSubAccounts) else None
    if found is None:
        raise Problem("unknown_sub_account", "the tenant has no sub-account of that name")
    return found
