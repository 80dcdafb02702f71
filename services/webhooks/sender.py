"""Sends one request to one address and reads what it answers: HTTP/1.1 as far as a webhook needs it, and no further.

The name is resolved at each attempt by our own resolver, what it leads to is judged (`shared.net.outside`), and the
connection is made to that very address, so that no second look-up can lead elsewhere. A connection that is kept is used
again only while the name still leads to its address. Nothing is followed: a redirect is an answer like any other, and
no proxy, cookie, or credential of this machine is in the way. The parser is llhttp, with none of its leniencies.

A receiver may try to hold us or to fill us: the whole request has its time, a head and what is read of a body have
their bounds, and what comes beyond is not read.
"""

import asyncio
import ssl
from collections import defaultdict, deque
from collections.abc import Callable
from typing import Protocol, cast

import httptools
from prometheus_client import Gauge

from services.webhooks.destination import Destination
from services.webhooks.schedule import Result, retry_after_s
from shared.net.dns import DnsUnavailable
from shared.net.outside import Policy, Refused, usable

#: Of head and body together.
MOST_READ_BYTES = 65_536
#: Of the body, for the log.
KEPT_BYTES = 1_000
#: Connections that are kept are closed after this; most servers close theirs after 60 to 75.
IDLE_S = 30.0
MOST_IDLE = 256
_HEADERS = b"User-Agent: estafette\r\nAccept: */*\r\nContent-Type: application/json\r\n"
#: A host that drops packets shall not use up the time that an answer may take.
CONNECT_S = 5.0

CONNECTIONS = Gauge("estafette_webhooks_connections", "Connections to endpoints, in use and kept")


class Resolver(Protocol):
    async def addresses(self, host: str) -> list[str] | DnsUnavailable: ...


class Sender:
    """Make it inside the running loop. `monotonic` counts seconds, `now_ms` is the clock."""

    def __init__(
        self,
        resolver: Resolver,
        policy: Policy,
        *,
        timeout_s: float,
        now_ms: Callable[[], int],
        monotonic: Callable[[], float],
        ca_file: str = "",
    ) -> None:
        self._resolver = resolver
        self._policy = policy
        self._timeout_s = timeout_s
        self._now_ms = now_ms
        self._monotonic = monotonic
        self._tls = ssl.create_default_context()
        self._tls.set_alpn_protocols(["http/1.1"])
        if ca_file:
            self._tls.load_verify_locations(cafile=ca_file)
        self._idle: dict[tuple[str, str, int], deque[_Connection]] = defaultdict(deque)

    async def post(self, destination: Destination, headers: bytes, body: bytes) -> Result:
        """What became of it, within the time that it has. `headers` are whole lines."""
        begun_s = self._monotonic()
        try:
            async with asyncio.timeout(self._timeout_s):
                result = await self._post(destination, headers, body)
        except TimeoutError:
            result = Result(error="timeout", detail=f"no whole answer in {self._timeout_s:g} s")
        except Refused as refused:
            result = Result(error="inside", detail=str(refused))
        except _Unresolved as fault:
            result = Result(error="unresolved", detail=str(fault))
        except ssl.SSLError as fault:
            result = Result(error="tls", detail=str(fault)[:300])
        except _Unreachable as fault:
            result = Result(error="unreachable", detail=str(fault))
        except _Stale:  # one that was made for this, and was closed before a byte went out
            result = Result(error="reset", detail="the connection was closed at once")
        except OSError as fault:
            result = Result(error="reset", detail=str(fault)[:300] or type(fault).__name__)
        except _Garbled as fault:
            result = Result(error="garbled", detail=str(fault))
        return _with_duration(result, self._monotonic() - begun_s)

    async def _post(self, destination: Destination, headers: bytes, body: bytes) -> Result:
        addresses = usable(destination.host, destination.port, await self._addresses(destination), self._policy)
        request = b"POST %b HTTP/1.1\r\nHost: %b\r\n%bContent-Length: %d\r\n\r\n%b" % (
            destination.target.encode("ascii"), destination.authority.encode("ascii"),
            headers + _HEADERS, len(body), body,
        )  # fmt: skip
        while (kept := self._kept(destination, addresses)) is not None:
            try:
                return await self._exchange(kept, destination, request)
            except _Stale:
                continue  # closed before it had read anything: it goes over another, once more under the same id
        return await self._exchange(await self._connected(destination, addresses), destination, request)

    async def _addresses(self, destination: Destination) -> list[str]:
        if destination.literal:
            return [destination.host]
        found = await self._resolver.addresses(destination.host)
        if isinstance(found, DnsUnavailable):
            raise _Unresolved(f"{destination.host}: {found.detail}")
        if not found:
            raise _Unresolved(f"{destination.host} has no address")
        return found

    def _kept(self, destination: Destination, addresses: list[str]) -> "_Connection | None":
        idle = self._idle.get((destination.scheme, destination.host, destination.port))
        while idle:
            connection = idle.pop()
            if connection.is_usable(self._monotonic() - IDLE_S) and connection.address in addresses:
                return connection
            connection.close()
        return None

    async def _connected(self, destination: Destination, addresses: list[str]) -> "_Connection":
        loop = asyncio.get_running_loop()
        is_tls = destination.scheme == "https"
        fault = ""
        for address in addresses:
            try:
                async with asyncio.timeout(CONNECT_S):
                    # An address: nothing is resolved here.
                    _, connection = await loop.create_connection(
                        lambda address=address: _Connection(address),
                        address,
                        destination.port,
                        ssl=self._tls if is_tls else None,
                        server_hostname=destination.host if is_tls else None,
                    )
                return connection
            except ssl.SSLError:
                raise
            except TimeoutError:
                fault = f"{address} does not answer"
            except OSError as error:
                fault = f"{address}: {error.strerror or error}"
        raise _Unreachable(fault[:300])

    async def _exchange(self, connection: "_Connection", destination: Destination, request: bytes) -> Result:
        try:
            answer = await connection.ask(request)
        except BaseException:
            connection.close()
            raise
        if connection.may_be_kept:
            idle = self._idle[destination.scheme, destination.host, destination.port]
            connection.idle_since = self._monotonic()
            idle.append(connection)
            if len(idle) > MOST_IDLE:
                idle.popleft().close()
        else:
            connection.close()
        return self._judged(answer)

    def _judged(self, answer: "_Connection") -> Result:
        status, body = answer.status, bytes(answer.body)
        wait_s = retry_after_s(answer.retry_after, self._now_ms()) if answer.retry_after else -1.0
        if 200 <= status < 300:
            return Result(status=status, body=body)
        if 300 <= status < 400:
            detail = f"leads to {answer.location[:300]!r}, and redirects are not followed: change the endpoint's URL"
            return Result(status=status, error="redirect", detail=detail, body=body)
        return Result(status=status, error="status", body=body, retry_after_s=wait_s)

    def tidy(self) -> None:
        """Closes what has been kept for too long. To be called now and then."""
        since_s = self._monotonic() - IDLE_S
        for place in list(self._idle):
            idle = self._idle[place]
            while idle and not idle[0].is_usable(since_s):
                idle.popleft().close()
            if not idle:
                del self._idle[place]

    async def close(self) -> None:
        for idle in self._idle.values():
            for connection in idle:
                connection.close()
        self._idle.clear()
        await asyncio.sleep(0)


class _Unresolved(Exception):
    pass


class _Unreachable(Exception):
    pass


class _Garbled(Exception):
    pass


class _Stale(Exception):
    """A connection that was kept had been closed by the other side."""


class _Connection(asyncio.Protocol):
    """One request at a time. What was answered last is in its fields."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.idle_since = 0.0
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Future[None] | None = None
        self._used = False
        self._clear()

    def _clear(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._read_bytes = 0
        self.status = 0
        self.body = bytearray()
        self.retry_after = ""
        self.location = ""
        self._keep_alive = False

    def is_usable(self, since_s: float) -> bool:
        return self._transport is not None and not self._transport.is_closing() and self.idle_since >= since_s

    @property
    def may_be_kept(self) -> bool:
        return self._keep_alive and self._transport is not None and not self._transport.is_closing()

    async def ask(self, request: bytes) -> "_Connection":
        transport = self._transport
        if transport is None or transport.is_closing():
            raise _Stale
        self._clear()
        self._waiting = asyncio.get_running_loop().create_future()
        transport.write(request)
        try:
            await self._waiting
        finally:
            self._waiting = None
            self._used = True
        return self

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    # What the loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class
        CONNECTIONS.inc()

    def data_received(self, data: bytes) -> None:
        if self._waiting is None or self._waiting.done():
            self.close()  # nobody asked for it
            return
        self._read_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._fail(_Garbled("it changes the protocol"))
        except httptools.HttpParserError as error:
            self._fail(_Garbled(f"not an answer of HTTP/1.1: {error}"[:300]))
        if self._read_bytes > MOST_READ_BYTES:
            self._too_long()

    def _too_long(self) -> None:
        """A body as long as that is not read on; its status stands. A head is not."""
        if self.status >= 200:
            self._end()
        else:
            self._fail(_Garbled(f"more than {MOST_READ_BYTES} bytes, and no answer"))

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        CONNECTIONS.dec()
        if self._waiting is None or self._waiting.done():
            return
        if self.status >= 200 and error is None and not self._has_length:
            self._end()  # a body that ends with its connection
        elif self._used and not self._read_bytes:
            self._fail(_Stale())
        elif isinstance(error, ssl.SSLError):
            self._fail(error)
        else:
            self._fail(ConnectionResetError("the connection was closed before the answer was whole"))

    # What the parser calls

    def on_message_begin(self) -> None:
        self._has_length = False

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name == b"retry-after":
            self.retry_after = value[:100].decode("latin-1")
        elif name == b"location":
            self.location = value[:2_000].decode("latin-1")
        elif name in (b"content-length", b"transfer-encoding"):
            self._has_length = True

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status >= 200 or status == 101:
            self.status = status

    def on_body(self, body: bytes) -> None:
        if len(self.body) < KEPT_BYTES:
            self.body += body[: KEPT_BYTES - len(self.body)]

    def on_message_complete(self) -> None:
        if self.status:
            self._keep_alive = self._parser.should_keep_alive() and self.status != 101
            self._end()

    def _end(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def _fail(self, fault: Exception) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(fault)


def _with_duration(result: Result, seconds: float) -> Result:
    return Result(
        status=result.status,
        error=result.error,
        detail=result.detail,
        body=result.body,
        retry_after_s=result.retry_after_s,
        duration_ms=int(seconds * 1000),
    )
