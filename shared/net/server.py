"""How every HTTP server of ours listens: what is refused before a route is looked for, how long one may take, how many
may come.

- What is no HTTP, or could be read in two ways, is answered with a problem document that repeats nothing of it, and
  logged in one line without it: in a request that nobody could read there may be a key or a token.
- A connection has to bring each header, and every body its bytes, in time, and to take its answers in time; idle ones
  are closed. So slow and silent peers end here and not with the last file descriptor.
- A body costs its size: what frames its chunks is bounded by what is in them.
- Each request has an id (`shared.words.request_ids`), which is in its answer; one that fails has a line in the log.
- Beyond the connections that a process, or one peer of it, may have (`shared.net.connections`), the longest idle gives
  its place to a new one, or a slow one; where all are being served the new one is told so and closed.
"""

import asyncio
import contextlib
import re
import resource
from collections.abc import Awaitable, Callable
from itertools import count
from secrets import token_hex
from typing import Any, cast

import msgspec
import structlog
from aiohttp import HttpVersion11, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.web_protocol import RequestHandler
from prometheus_client import Counter

from shared.net.connections import Connections, Places, Room
from shared.net.heads import HOST
from shared.net.peers import peer_of
from shared.net.problems import problem_answer
from shared.net.requests import CURRENT, Asked, Failures, asked
from shared.words.errors import Problem
from shared.words.request_ids import HEADER as REQUEST_ID

#: What answers say of the server: its name, and no version.
SERVER = "estafette"
#: Chunks of one byte take six to frame; beyond what is allowed at once, more than eight for one is an attack.
FRAMING_BYTES = 64 * 1024
FRAMING_PER_BYTE = 8
#: Where the system names no limit of open files: more than any process here needs.
MANY_DESCRIPTORS = 65_536

CLOSED = Counter("estafette_http_closed_connections_total", "HTTP connections that we ended, by why", ["why"])
UNREADABLE = Counter("estafette_http_unreadable_requests_total", "Requests that were not HTTP")
PROBLEM_WORDS = {413: "body_too_large", 414: "line_too_long", 431: "header_too_large", 504: "timed_out"}
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


#: aiohttp's word for the method of what it could not read.
UNREAD = "UNKNOWN"

#: What we wait for; the third is a body.
HEADER, ANSWER = "header", "answer"


class Limits(msgspec.Struct, frozen=True):
    """How long a peer may take."""

    #: From the first byte of a header, or the connection, to the end of the header.
    header_s: float = 20.0
    #: Between two requests of a connection; proxies use 60 s and less.
    idle_s: float = 75.0
    #: So long at a time, what a peer sends of a body, or takes of an answer, is measured, and has to be so fast.
    silence_s: float = 30.0
    least_bytes_per_s: int = 100
    #: What is slower than that, or says nothing, gives its place to another while there is none.
    spared_bytes_per_s: int = 8 * 1024
    #: What is left of a body that was refused is thrown away for so long.
    linger_s: float = 10.0
    #: How often a connection is looked at.
    look_s: float = 5.0


class Runner(web.AppRunner):
    """An `AppRunner` as above, whose connections are some of the process's."""

    def __init__(
        self, app: web.Application, places: Places | None = None, *, limits: Limits | None = None, **options: Any
    ) -> None:
        app.on_response_prepare.append(_name)
        self._limits = limits or Limits()
        options = {"keepalive_timeout": self._limits.idle_s, "lingering_time": self._limits.linger_s, **options}
        super().__init__(app, access_log=None, auto_decompress=False, **options)
        self._places = places or Connections().callers

    async def _make_server(self) -> web.Server:
        return self._server_of(await super()._make_server(), self._places, self._limits)

    def _server_of(self, made: web.Server, places: Places, limits: Limits) -> "Server":
        return Server(made, places, limits)


class Server(web.Server):
    def __init__(self, made: web.Server, places: Places, limits: Limits) -> None:
        answer = cast(Any, made.request_handler)
        make = cast(Any, made.request_factory)
        # Cheap, and no other process makes the same: whoever asks for a picture says no id, and there are many.
        prefix, numbers = token_hex(6), count(1)
        now_s = made._loop.time
        failures = Failures(now_s)

        def next_id() -> str:
            return f"{prefix}-{next(numbers):x}"

        async def handled(request: web.BaseRequest) -> web.StreamResponse:
            began_s = now_s()
            under_way = asked(request, next_id)
            try:
                if (problem := fault_of_head(request)) is not None:
                    response = _own(problem)
                else:
                    response = await answer(request)
            except web.HTTPExpectationFailed:
                # aiohttp says so before any route or middleware is asked, and repeats what was expected.
                response = _own(Problem("expectation_failed", "only Expect: 100-continue is known"))
            finally:
                under_way.is_over = True
            if response.status >= 400:
                failures.tell(request, response, under_way, began_s)
            return cast(web.StreamResponse, response)

        def begun(
            message: Any, payload: Any, protocol: "Handler", writer: AbstractStreamWriter, task: Any
        ) -> web.BaseRequest:
            protocol.answers_by(writer)
            return cast(web.BaseRequest, make(message, payload, protocol, writer, task))

        super().__init__(handled, request_factory=cast(Any, begun), loop=made._loop, **made._kwargs)
        self.places, self.limits, self.next_id, self.failures = places, limits, next_id, failures

    def __call__(self) -> RequestHandler:
        return Handler(self, loop=self._loop, **self._kwargs)


class _Wait:
    """Of a peer: for `what` we wait, since when, and how much had come, or gone, by then."""

    __slots__ = ("since_bytes", "since_s", "what")

    def __init__(self, what: object, since_s: float, since_bytes: int) -> None:
        self.what, self.since_s, self.since_bytes = what, since_s, since_bytes


class Handler(RequestHandler):
    __slots__ = (
        "_body", "_body_began_bytes", "_gone", "_head_s", "_heard_bytes", "_is_answering", "_is_deaf", "_limits",
        "_next_id", "_places", "_refused", "_rooms", "_sent_bytes", "_wait", "_watch", "_wire", "_writer",
    )  # fmt: skip

    def __init__(self, server: Server, **options: Any) -> None:
        super().__init__(server, **options)
        self._places, self._limits, self._next_id = server.places, server.limits, server.next_id
        self._rooms: tuple[Room, ...] = ()
        self._refused = False
        #: What still comes is thrown away.
        self._is_deaf = False
        self._gone: asyncio.Future[None] | None = None
        #: From a request's head to the last byte of its answer; what is left of its body then is thrown away.
        self._is_answering = False
        self._wire: asyncio.Transport | None = None
        #: Since when a header comes, None while none does.
        self._head_s: float | None = None
        self._heard_bytes = 0
        #: The body of the request that was read last, and what had been heard when it began.
        self._body: Any = None
        self._body_began_bytes = 0
        #: The answer that is written, and what was written before it.
        self._writer: Any = None
        self._sent_bytes = 0
        self._wait: _Wait | None = None
        self._watch: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._wire = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        why = self._places.enter(self, peer_of(str(peer[0])) if isinstance(peer, tuple) and peer else "")
        if why:
            self._refused = True
            CLOSED.labels(why).inc()
            self._wire.write(_REFUSALS[why])
            self._wire.close()
            return
        self._rooms = self._places.rooms(self)
        self._head_s = self._loop.time()
        self._watch = self._loop.call_later(self._limits.look_s, self._look)
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        self._places.leave(self)
        self._wire = None
        if self._gone is not None and not self._gone.done():
            self._gone.set_result(None)
        if not self._refused:
            super().connection_lost(exc)

    def answers_by(self, writer: AbstractStreamWriter) -> None:
        """The next answer goes over that."""
        if self._writer is not None:
            self._sent_bytes += self._writer.output_size
        self._writer = writer
        self._is_answering = True

    def data_received(self, data: bytes) -> None:
        if self._refused or self._is_deaf:
            return
        if data and self._head_s is None and self._body_is_whole():
            self._head_s = self._loop.time()
        self._heard_bytes += len(data)
        before = self._request_count
        super().data_received(data)
        if self._request_count > before:
            self._head_s = None
            self._read_heads(self._request_count - before)
        elif not self._body_is_whole() and self._frames_too_much():
            CLOSED.labels("framing").inc()
            self._is_deaf = True
            self._spoil(self._body, self._is_answering or bool(self._messages))

    def _read_heads(self, count: int) -> None:
        """The last of them has the body that is read now. aiohttp says that a body cannot be read by a message behind
        it, and leaves whoever reads the body waiting."""
        message, body = self._messages[-1]
        if not hasattr(message, "headers"):
            unread = self._messages[-2][1] if count > 1 else self._body
            if unread is not None and not unread.is_eof():
                self._spoil(unread, self._is_answering or len(self._messages) > 1)
        self._body = body
        self._body_began_bytes = self._heard_bytes

    @staticmethod
    def _spoil(body: Any, is_read: bool) -> None:
        """Who reads it is told; where it is only thrown away, nobody is."""
        if is_read:
            body.set_exception(web.RequestPayloadError("the body cannot be read"))
        body.feed_eof()

    def _body_is_whole(self) -> bool:
        return self._body is None or self._body.is_eof()

    def _frames_too_much(self) -> bool:
        content_bytes = self._body.total_bytes
        framing_bytes = self._heard_bytes - self._body_began_bytes - content_bytes
        return bool(framing_bytes > FRAMING_BYTES + FRAMING_PER_BYTE * content_bytes)

    async def _handle_request(
        self,
        request: web.BaseRequest,
        start_time: float | None,
        request_handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
    ) -> tuple[web.StreamResponse, bool]:
        for room in self._rooms:
            room.busy(self)
        try:
            answered = await super()._handle_request(request, start_time, request_handler)
            if self._is_deaf:
                await self._linger()
            return answered
        finally:
            self._is_answering = False
            if self.is_idle:
                for room in self._rooms:
                    room.idle(self)

    async def _linger(self) -> None:
        """Whoever is hung up on in the middle of sending may lose the answer (RFC 9112 section 9.6): the rest is
        thrown away as it comes, for a while."""
        self.close()
        self._gone = self._loop.create_future()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._limits.linger_s):
                await self._gone

    # How long a peer may take

    def _unread_bytes(self) -> int:
        return 0 if self._wire is None else self._wire.get_write_buffer_size()

    @property
    def is_idle(self) -> bool:
        """Nothing of a request has come since the last one was answered."""
        return not (
            self._is_answering
            or self._messages
            or self._head_s is not None
            or not self._body_is_whole()
            or self._unread_bytes()
        )

    @property
    def is_awaited(self) -> bool:
        return self._awaited() is not None

    def give_way(self) -> None:
        self._end("displaced")

    def _awaited(self) -> tuple[object, int] | None:
        """What the peer owes us, and how much of it there has been: ANSWER, the bytes taken; a body, those heard;
        HEADER. None while it is our turn, or nobody's."""
        if unread_bytes := self._unread_bytes():
            written = 0 if self._writer is None else self._writer.output_size
            return ANSWER, self._sent_bytes + written - unread_bytes
        if not self._body_is_whole():
            return None if self._reading_paused else (self._body, self._heard_bytes)
        if self._head_s is not None and not self._is_answering and not self._messages:
            return HEADER, 0
        return None

    def _look(self) -> None:
        now_s = self._loop.time()
        self._watch = self._loop.call_later(self._limits.look_s, self._look)
        awaited = self._awaited()
        if awaited is not None:
            self._measure(now_s, *awaited)
            return
        self._wait = None
        if self.is_idle:
            for room in self._rooms:
                room.idle(self)

    def _measure(self, now_s: float, what: object, count: int) -> None:
        """Ends what is too slow, and notes what is slow enough to give way to others."""
        wait = self._wait
        if wait is None or wait.what is not what:
            since_s = self._head_s if what == HEADER and self._head_s is not None else now_s
            wait = self._wait = _Wait(what, since_s, count)
        took_s, moved_bytes = now_s - wait.since_s, count - wait.since_bytes
        if what == HEADER:
            if took_s > self._limits.header_s:
                self._end(HEADER)
        elif took_s > self._limits.silence_s:
            if moved_bytes < self._limits.least_bytes_per_s * took_s:
                self._end(ANSWER if what == ANSWER else "body")
            self._wait = _Wait(what, now_s, count)
        if took_s > 0 and moved_bytes < self._limits.spared_bytes_per_s * took_s:
            for room in self._rooms:
                room.slow(self)

    def _end(self, why: str) -> None:
        CLOSED.labels(why).inc()
        self._places.leave(self)
        self._rooms = ()
        if self._wire is not None:
            self._wire.abort()

    # What cannot be read

    def log_exception(self, *_said: Any, exc_info: Any = None, **_more: Any) -> None:
        """aiohttp's words may repeat what came."""
        structlog.get_logger("http").error("connection_failed", error=type(exc_info).__name__)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What is no HTTP, or a fault of the server itself: neither its bytes nor the parser's words are repeated."""
        under_way = CURRENT.get()
        if under_way is None or request.method == UNREAD:  # what could not be read was never under way
            under_way = Asked(self._next_id())
            CURRENT.set(under_way)
        log = structlog.get_logger("http").bind(request=under_way.id)
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
        other = "bad_request" if status < 500 else "internal_error"
        return _own(Problem(PROBLEM_WORDS.get(status, other), detail))


def fault_of_head(request: web.BaseRequest) -> Problem | None:
    """What the parser lets pass and two readers would read differently, or nobody serves."""
    spoken = cast(Any, request)
    if spoken._version not in ((1, 0), (1, 1)):
        spoken._version = HttpVersion11  # in which it is answered
        return Problem("version_not_supported", "HTTP/1.1 and HTTP/1.0 are spoken here")
    headers = request.headers
    codings = headers.getall("Transfer-Encoding", None)
    if codings is not None:
        if spoken._version == (1, 0):  # RFC 9112 section 6.1: faulty framing, whatever else it says
            return Problem("bad_request", "HTTP/1.0 has no Transfer-Encoding")
        if [coding.strip().lower() for coding in codings] != ["chunked"]:
            return Problem("transfer_coding_unknown", "chunked is the only Transfer-Encoding that is known")
    host = headers.get("Host", "")
    if not HOST.fullmatch(host):
        return Problem("bad_request", "the header Host names no host")
    target = request.raw_path
    if not target.startswith("/") and "://" in target:
        scheme, _, rest = target.partition("://")
        port = _DEFAULT_PORTS.get(scheme.lower())
        if port is None:
            return Problem("bad_request", "the request's target has a scheme that is not served")
        authority = re.split(r"[/?#]", rest, maxsplit=1)[0].lower()
        if authority.removesuffix(port) != host.lower().removesuffix(port):
            return Problem("misdirected_request", "the request's target names another host than its Host does")
    return None


def _own(problem: Problem) -> web.Response:
    """The answer of the server itself, its last over this connection."""
    response = problem_answer(problem)
    response.headers["Server"] = SERVER
    if (under_way := CURRENT.get()) is not None:
        response.headers[REQUEST_ID] = under_way.id
    response.force_close()
    return response


async def _name(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = SERVER
    if (under_way := CURRENT.get()) is not None:
        response.headers[REQUEST_ID] = under_way.id


def _refusal(problem: Problem) -> bytes:
    """What a connection that has no place is told, before anything of it is read."""
    body = msgspec.json.encode(problem.document())
    head = (
        f"HTTP/1.1 {problem.status} {problem.title}\r\nServer: {SERVER}\r\n"
        f"Content-Type: application/problem+json\r\nContent-Length: {len(body)}\r\nRetry-After: 5\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode("ascii") + body


_REFUSALS = {
    "peer": _refusal(Problem("too_many_connections", "your address has too many connections here")),
    "full": _refusal(Problem("unavailable", "all connections are taken; try again")),
}


def raise_descriptors() -> None:
    """As many open files as the system allows this process."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = descriptors_to_ask_for(*resource.getrlimit(resource.RLIMIT_NOFILE))
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):  # some systems name a hard limit that they do not keep
        structlog.get_logger("http").warning("descriptors_not_raised", wanted=wanted)


def descriptors_to_ask_for(soft: int, hard: int) -> int:
    """RLIM_INFINITY is -1: no number to count with, and less than all others."""
    if soft == resource.RLIM_INFINITY:
        return soft
    return max(soft, MANY_DESCRIPTORS) if hard == resource.RLIM_INFINITY else hard
