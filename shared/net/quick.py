"""Answers what is asked most often, and needs least, without aiohttp: on its connections, by all rules of `server`.

Theory of operation:

- Each piece that a connection brings while nothing of a request is under way is looked at: if it is one whole plain
  head (`heads`), it is offered to `Quick`, which takes it or does not. All else goes to aiohttp as it came: pieces of
  heads, several requests at once, bodies, what cannot be read, what is not taken. So nothing is decided here that
  aiohttp would decide otherwise, a slow or broken client is aiohttp's from its first byte on, and one port serves
  everything.
- A connection has one request at a time. What comes before its answer waits, unread beyond the piece that is there.
- Limits, places and counters are those of `server`: such a request makes its connection busy, and then idle again.
- A process that ends answers first what is under way; the answer says that the connection closes.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from functools import partial
from http import HTTPStatus
from typing import Any

import msgspec
import structlog
from aiohttp import web
from aiohttp.helpers import rfc822_formatted_time
from aiohttp.web_protocol import RequestHandler

from shared.net import heads
from shared.net.connections import Places
from shared.net.heads import Head
from shared.net.server import SERVER, Handler, Limits, Runner, Server
from shared.words.request_ids import HEADER as REQUEST_ID
from shared.words.request_ids import TRACE_HEADER, request_id


class Reply(msgspec.Struct, frozen=True, gc=False):
    """An answer. `fields` are whole lines, each with its end. `route` stands in the log if it is an error."""

    status: int
    fields: bytes
    body: bytes = b""
    route: str = ""


#: Takes a head from that address, and answers by the third argument, at once or later, once; or takes it not: False.
Quick = Callable[[Head, str, Callable[[Reply], None]], bool]

_STATUS = {status: f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n".encode() for status in (200, 302, 503)}
_NAMED = f"\r\nServer: {SERVER}\r\n{REQUEST_ID}: ".encode()
_ID, _TRACE = REQUEST_ID.lower().encode(), TRACE_HEADER.lower().encode()
_END, _LAST_END = b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"


def lines(fields: Mapping[str, str]) -> bytes:
    """Header fields as the lines of a reply. ValueError if one has something in it that a line could end with."""
    return b"".join(line(name, value) for name, value in fields.items())


def line(name: str, value: str) -> bytes:
    """One of them. ValueError as of `lines`."""
    if not value.isprintable():
        raise ValueError("a header field of one line has an end of a line in it")
    return f"{name}: {value}\r\n".encode("ascii")


class QuickRunner(Runner):
    """A `Runner` that offers plain requests to `quick` first."""

    def __init__(self, app: web.Application, places: Places | None = None, *, quick: Quick, **options: Any) -> None:
        super().__init__(app, places, **options)
        self._quick = quick

    def _server_of(self, made: web.Server, places: Places, limits: Limits) -> Server:
        return _QuickServer(made, places, limits, self._quick)


class _QuickServer(Server):
    def __init__(self, made: web.Server, places: Places, limits: Limits, quick: Quick) -> None:
        super().__init__(made, places, limits)
        self.quick = quick
        self.read = heads.Reader().read

    def __call__(self) -> RequestHandler:
        return _QuickHandler(self, loop=self._loop, **self._kwargs)


class _QuickHandler(Handler):
    __slots__ = ("_began_s", "_drained", "_failures", "_is_quick", "_later", "_peer", "_quick", "_read")

    def __init__(self, server: _QuickServer, **options: Any) -> None:
        super().__init__(server, **options)
        self._quick, self._read, self._failures = server.quick, server.read, server.failures
        #: Whether a request is under way that aiohttp does not know of.
        self._is_quick = False
        self._began_s = 0.0
        self._later = b""
        self._peer = ""
        self._drained: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        peer = transport.get_extra_info("peername")
        self._peer = str(peer[0]) if isinstance(peer, tuple) and peer else ""
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._later = b""
        self._has_drained()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_quick:
            self._later += data
            if self._wire is not None and not self._wire.is_closing():
                self._wire.pause_reading()
        elif not (self._is_free() and self._takes(data)):
            super().data_received(data)

    def _is_free(self) -> bool:
        """Whether nothing of a request is under way, read or yet to be read, and more is to come."""
        waiter = self._waiter
        # Without one its task has not begun yet, or answers.
        is_waiting = not self._request_count if waiter is None else not waiter.done()
        return (
            is_waiting
            and not (self._is_answering or self._messages or self._refused or self._is_deaf)
            and not (self._close or self._force_close or self._upgraded or self._paused)
            and (self._head_s is None or not self._heard_bytes)
            and self._body_is_whole()
        )

    def _takes(self, piece: bytes) -> bool:
        head = self._read(piece)
        if head is None:
            return False
        before = self._head_s
        self._is_quick = self._is_answering = True
        self._head_s = None
        self._began_s = now_s = self._loop.time()
        # aiohttp closes what has been idle for so long, by its own count.
        self._next_keepalive_close_time = now_s + self._limits.idle_s
        for room in self._rooms:
            room.busy(self)
        try:
            if self._quick(head, self._peer, partial(self._answer, head)):
                self._heard_bytes += len(piece)
                return True
        except Exception:  # a bug there shall break no connection: it is asked the other way
            structlog.get_logger("http").exception("quick_failed")
        self._is_quick = self._is_answering = False
        self._head_s = before
        return False

    def _answer(self, head: Head, reply: Reply) -> None:
        wire, later = self._wire, self._later
        self._is_quick = self._is_answering = False
        self._later = b""
        if wire is None or wire.is_closing():
            self._has_drained()
            return
        given, trace = head.fields.get(_ID), head.fields.get(_TRACE)
        name = request_id(_text(given), _text(trace), self._next_id) if given or trace else self._next_id()
        length = b"Content-Length: %d\r\nDate: %b" % (len(reply.body), rfc822_formatted_time().encode())
        end = _LAST_END if self._close else _END
        body = b"" if head.method == "HEAD" else reply.body
        whole = b"".join((_STATUS[reply.status], reply.fields, length, _NAMED, name.encode(), end, body))
        self._sent_bytes += len(whole)
        wire.write(whole)
        if reply.status >= 400:
            took_s = self._loop.time() - self._began_s
            self._failures.tell_of(reply.route, head.method, reply.status, name, took_s)
        for room in self._rooms:
            room.idle(self)
        self._has_drained()
        if later and not wire.is_closing():
            wire.resume_reading()
            self.data_received(later)

    async def shutdown(self, timeout: float | None = 15.0) -> None:
        """First what is under way here, then as aiohttp does."""
        if self._is_quick:
            self._drained = self._loop.create_future()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await self._drained
        await super().shutdown(timeout)

    def _has_drained(self) -> None:
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("latin-1")
