"""How every HTTP server of ours listens: what is refused before a route is looked for, how long one may take, how many
may come.

- What is no HTTP is answered with a problem document that repeats nothing of it, and logged in one line without it: in
  a request that nobody could read there may be a key or a token.
- A connection has to bring its first header, and every body its bytes, in time; idle ones are closed. So slow and
  silent peers end here and not with the last file descriptor.
- Beyond the connections that a process, or one peer of it, may have, a new one is closed.
"""

import asyncio
import collections
import resource
from typing import Any, cast

import structlog
from aiohttp import web
from aiohttp.web_protocol import RequestHandler
from prometheus_client import Counter

from shared.errors import Problem
from shared.problems import problem_answer

#: What answers say of the server: its name, and no version.
SERVER = "estafette"
#: From the first byte that could come to the end of the first header.
HEADER_S = 20.0
#: Between two requests of a connection; proxies use 60 s and less.
IDLE_S = 75.0
#: A body has to go on within this, and to bring so many bytes a second on average.
SILENCE_S = 30.0
LEAST_BYTES_PER_S = 100
#: How often a connection is looked at.
LOOK_S = 5.0
#: Descriptors that are for all else: Redis, files, listeners, children.
OTHER_DESCRIPTORS = 300

CLOSED = Counter("estafette_http_closed_connections_total", "HTTP connections that we ended, by why", ["why"])
UNREADABLE = Counter("estafette_http_unreadable_requests_total", "Requests that were no HTTP")
_WORDS = {400: "bad_request", 413: "body_too_large", 414: "line_too_long", 431: "header_too_large"}


class Runner(web.AppRunner):
    """An `AppRunner` as above. `most`: connections of this process, `most_of_peer`: of one address; 0: any number."""

    def __init__(self, app: web.Application, *, most: int = 0, most_of_peer: int = 0, **options: Any) -> None:
        app.on_response_prepare.append(_name)
        super().__init__(app, access_log=None, auto_decompress=False, keepalive_timeout=IDLE_S, **options)
        self._most, self._most_of_peer = most, most_of_peer

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = min(self._most or soft, max(1, soft - OTHER_DESCRIPTORS))
        return _Server(made, most, self._most_of_peer)


class _Server(web.Server):
    def __init__(self, made: web.Server, most: int, most_of_peer: int) -> None:
        answer = cast(Any, made.request_handler)

        async def handled(request: web.BaseRequest) -> web.StreamResponse:
            try:
                return cast(web.StreamResponse, await answer(request))
            except web.HTTPExpectationFailed:
                # aiohttp says so before any route or middleware is asked, and repeats what was expected.
                return _own(Problem(417, "expectation_failed", "only Expect: 100-continue is known"))

        super().__init__(handled, request_factory=made.request_factory, loop=made._loop, **made._kwargs)
        self._most, self._most_of_peer = most, most_of_peer
        self._peers: collections.Counter[str] = collections.Counter()

    def __call__(self) -> RequestHandler:
        return _Handler(self, loop=self._loop, **self._kwargs)

    def enters(self, peer: str) -> str:
        """Why a new connection is closed at once; "" if it is not."""
        self._peers[peer] += 1
        if self._most_of_peer and self._peers[peer] > self._most_of_peer:
            return "peer"
        return "full" if self._peers.total() > self._most else ""

    def leaves(self, peer: str) -> None:
        self._peers[peer] -= 1
        if self._peers[peer] <= 0:
            del self._peers[peer]


class _Handler(RequestHandler):
    __slots__ = ("_began_s", "_body_bytes", "_body_of", "_heard_s", "_of_peer", "_watch")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        peer = transport.get_extra_info("peername")
        self._of_peer = str(peer[0]) if isinstance(peer, tuple) and peer else ""
        self._began_s = self._heard_s = self._loop.time()
        self._body_of: object = None
        self._body_bytes = 0
        self._watch: asyncio.TimerHandle | None = self._loop.call_later(LOOK_S, self._look)
        if why := cast(_Server, self._manager).enters(self._of_peer):
            self._end(why)

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        if isinstance(self._manager, _Server):
            self._manager.leaves(self._of_peer)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._heard_s = self._loop.time()
        self._body_bytes += len(data)
        super().data_received(data)

    def _look(self) -> None:
        now_s = self._loop.time()
        self._watch = self._loop.call_later(LOOK_S, self._look)
        request = self._current_request
        if request is None:
            if self._request_count == 0 and now_s - self._began_s > HEADER_S:
                self._end("header")
            return
        if request is not self._body_of:
            self._body_of, self._body_bytes, self._began_s = request, 0, now_s
        elif not request.content.is_eof() and not self._reading_paused:
            took_s = now_s - self._began_s
            silent = now_s - self._heard_s > SILENCE_S
            if silent or (took_s > SILENCE_S and self._body_bytes < LEAST_BYTES_PER_S * took_s):
                self._end("body")

    def _end(self, why: str) -> None:
        CLOSED.labels(why).inc()
        if self.transport is not None:
            self.transport.abort()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What is no HTTP, or a fault of the server itself: neither its bytes nor the parser's words are repeated."""
        log = structlog.get_logger("http")
        if isinstance(exc, ConnectionError):
            log.info("client_gone", error=type(exc).__name__)  # or we closed it: neither is a fault of ours
        elif status < 500:
            UNREADABLE.inc()
            log.info("unreadable_request", status=status, error=type(exc).__name__)
        else:
            log.error("request_failed", status=status, error=type(exc).__name__, exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun already")
        detail = "the request is no HTTP that can be read" if status < 500 else "this is our fault, and it is logged"
        return _own(Problem(status, _WORDS.get(status, "internal_error"), detail))


def _own(problem: Problem) -> web.Response:
    """The answer of the server itself, its last over this connection."""
    response = problem_answer(problem)
    response.headers["Server"] = SERVER
    response.force_close()
    return response


async def _name(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = SERVER


def raise_descriptors() -> None:
    """As many open files as the system allows this process."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
