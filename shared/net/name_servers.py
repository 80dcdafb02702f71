"""Questions to the name servers that resolve for this machine, and what they reply.

Theory of operation. Each server has a socket that is connected to it, so that the kernel drops what others send, and
that is exchanged for one with another port after `PORT_USES` questions: who forges a reply has to guess the port and
the question's number. A reply that is too long for a packet is fetched over TCP. A server that is silent loses its
place as the first one to be asked; one that cannot tell is not asked the same question again, but the next one is.
"""

import asyncio
import secrets
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path

from shared.net.dns_message import (
    NO_EDNS_CODES,
    Malformed,
    RecordType,
    Reply,
    answers,
    question,
    read,
)

DNS_PORT = 53
#: Questions that one port asks.
PORT_USES = 100
#: Rounds through all servers; the timeout is for one try.
TRIES = 2
RESOLV_CONF = Path("/etc/resolv.conf")
#: The system's servers change with its network; a look costs some microseconds.
LOOK_AGAIN_S = 5.0
#: `resolv.conf(5)`: without a server there it is this machine's; and the first three count.
SYSTEM_DEFAULT = ("127.0.0.1", DNS_PORT)
MAX_SYSTEM_SERVERS = 3

Place = tuple[str, int]


class NameServers:
    """The servers of the setting `dns.servers`: addresses, each with or without a port (`[::1]:53` for IPv6), separated
    by commas; empty is the system's. Make it inside the running loop. ValueError if one is not an address."""

    def __init__(self, servers: str, timeout_ms: int, resolv_conf: Path = RESOLV_CONF) -> None:
        self._named = parse_servers(servers)
        self._timeout_s = timeout_ms / 1000
        self._system = _System(resolv_conf, asyncio.get_running_loop().time)
        self._known: dict[Place, _Server] = {}
        self._first = 0

    async def ask(self, name: str, record_type: RecordType) -> Reply:
        """What the first server says that can tell; `failed` if none can. ValueError if that is not a name."""
        question(name, record_type, 0)
        places = self.places()
        first = self._first % len(places)
        asked = [self._server(place) for place in (*places[first:], *places[:first])]
        failed = Reply("failed", detail="no name server answers")
        for _ in range(TRIES):
            for server in list(asked):
                try:
                    reply = await server.ask(name, record_type, self._timeout_s)
                except TimeoutError:
                    self._silent(places, server)
                except (OSError, EOFError, Malformed) as error:
                    failed = Reply("failed", detail=str(error) or type(error).__name__)
                    self._silent(places, server)
                else:
                    if reply.status != "failed":
                        return reply
                    failed = reply
                    asked.remove(server)
        return failed

    def places(self) -> tuple[Place, ...]:
        """Whom is asked: address and port of each."""
        return self._named or self._system.places()

    async def close(self) -> None:
        for server in self._known.values():
            server.close()
        await asyncio.sleep(0)  # sockets are closed in the next turn of the loop

    def _server(self, place: Place) -> "_Server":
        return self._known.get(place) or self._known.setdefault(place, _Server(place))

    def _silent(self, places: tuple[Place, ...], server: "_Server") -> None:
        """Others are asked first from now on, if nobody has seen to that already."""
        if places[self._first % len(places)] == server.place:
            self._first = (self._first + 1) % len(places)


class _Server:
    def __init__(self, place: Place) -> None:
        self.place = place
        self._port: _Port | None = None
        self._opening: asyncio.Task[_Port] | None = None
        self._edns = True

    async def ask(self, name: str, record_type: RecordType, timeout_s: float) -> Reply:
        """TimeoutError, OSError, EOFError, Malformed."""
        async with asyncio.timeout(timeout_s):
            reply = await self._exchange(name, record_type)
            if reply.detail in NO_EDNS_CODES and self._edns:
                self._edns = False
                reply = await self._exchange(name, record_type)
            return reply

    async def _exchange(self, name: str, record_type: RecordType) -> Reply:
        port = await self._open_port()
        number = port.new_number()
        packet = question(name, record_type, number, edns=self._edns)
        reply = read(await port.ask(number, packet), name, record_type)
        if reply.status == "truncated":
            reply = read(await self._over_tcp(packet), name, record_type)
        if reply.status == "truncated":
            raise Malformed("the answer of the name server is cut off over TCP too")
        return reply

    async def _open_port(self) -> "_Port":
        """One that has uses left. All who wait for a new one go on at once: behind a lock they would one by one, a turn
        of the loop each."""
        while (port := self._port) is None or port.is_used_up:
            if self._opening is None:
                self._opening = asyncio.create_task(self._open(), name="name server port")
            await asyncio.shield(self._opening)
        port.uses += 1
        return port

    async def _open(self) -> "_Port":
        try:
            if self._port is not None:
                self._port.retire()
            loop = asyncio.get_running_loop()
            _, self._port = await loop.create_datagram_endpoint(_Port, remote_addr=self.place)
            return self._port
        finally:
            self._opening = None

    async def _over_tcp(self, packet: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(*self.place)
        try:
            writer.write(len(packet).to_bytes(2, "big") + packet)
            reply = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
        finally:
            writer.close()
        if not answers(reply, packet):
            raise Malformed("the name server answered something else")
        return reply

    def close(self) -> None:
        if self._opening is not None:
            self._opening.cancel()
        if self._port is not None:
            self._port.transport.close()


class _Port(asyncio.DatagramProtocol):
    """One socket of ours, and who waits for a reply at it."""

    transport: asyncio.DatagramTransport

    def __init__(self) -> None:
        self.uses = 0
        self._waiting: dict[int, tuple[bytes, asyncio.Future[bytes]]] = {}
        self._retired = False

    @property
    def is_used_up(self) -> bool:
        return self.uses >= PORT_USES or self.transport.is_closing()

    def new_number(self) -> int:
        while (number := secrets.randbelow(1 << 16)) in self._waiting:
            pass
        return number

    async def ask(self, number: int, packet: bytes) -> bytes:
        answered: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting[number] = packet, answered
        try:
            self.transport.sendto(packet)
            return await answered
        except (OSError, asyncio.CancelledError):
            self.uses = PORT_USES  # perhaps our address is gone: the next question begins anew
            raise
        finally:
            del self._waiting[number]
            self._close_if_done()

    def retire(self) -> None:
        self._retired = True
        self._close_if_done()

    def _close_if_done(self) -> None:
        if self._retired and not self._waiting:
            self.transport.close()

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self.transport = transport

    def datagram_received(self, packet: bytes, _place: Place) -> None:
        packet_of, answered = self._waiting.get(int.from_bytes(packet[:2], "big"), (b"", None))
        if answered is not None and not answered.done() and answers(packet, packet_of):
            answered.set_result(packet)

    def error_received(self, error: Exception) -> None:
        for _, answered in self._waiting.values():
            if not answered.done():
                answered.set_exception(error)

    def connection_lost(self, error: Exception | None) -> None:
        self.error_received(error or ConnectionAbortedError("the resolver was closed"))


class _System:
    """The name servers of the machine, read again when the file changes."""

    def __init__(self, file: Path, clock: Callable[[], float]) -> None:
        self._file, self._clock = file, clock
        self._look_at = 0.0
        self._state: tuple[int, int, int] | None = None
        self._places: tuple[Place, ...] = (SYSTEM_DEFAULT,)

    def places(self) -> tuple[Place, ...]:
        now = self._clock()
        if now >= self._look_at:
            self._look_at = now + LOOK_AGAIN_S
            try:
                found = self._file.stat()
                state = found.st_mtime_ns, found.st_ino, found.st_size
                if state != self._state:
                    self._places = _of_resolv_conf(self._file.read_text("utf-8", "replace")) or (SYSTEM_DEFAULT,)
                    self._state = state
            except OSError:
                pass  # what was known holds: it is being written, perhaps
        return self._places


def parse_servers(text: str) -> tuple[Place, ...]:
    """The value of `dns.servers`; () if it is empty. ValueError in words for the operator."""
    return tuple(_place(part.strip(), text) for part in text.split(",") if part.strip())


def _place(part: str, whole: str) -> Place:
    wrong = f"dns.servers: {whole!r:.200} is no list of addresses: {part!r:.60} is none, with or without a port"
    host, port = part, str(DNS_PORT)
    if part.startswith("["):
        host, bracket, rest = part[1:].partition("]")
        port = rest[1:] if rest.startswith(":") else ("" if rest or not bracket else port)
    elif part.count(":") == 1:
        host, _, port = part.partition(":")
    try:
        address = str(ip_address(host))
    except ValueError:
        raise ValueError(wrong) from None
    if not (port.isascii() and port.isdecimal() and 0 < int(port) < 65_536):
        raise ValueError(wrong)
    return address, int(port)


def _of_resolv_conf(text: str) -> tuple[Place, ...]:
    places: list[Place] = []
    for line in text.splitlines():
        match line.split():
            case ["nameserver", address, *_]:
                try:
                    places.append((str(ip_address(address)), DNS_PORT))
                except ValueError:
                    continue
            case _:
                continue
    return tuple(places[:MAX_SYSTEM_SERVERS])
