"""A real DNS server on a free loopback port, UDP and TCP, that serves a zone given as text and fails where told to.

As in a test:

    async with DnsServer("example.net. 300 IN MX 10 mx.example.net.") as dns:
        dns.address                                   # "127.0.0.1:40123"
        dns.trouble["slow.example."] = "silent"       # or "servfail", "refused", "truncated" (UDP only)
        dns.trouble["mx.example.net.", "TLSA"] = "servfail"   # at this question alone
        dns.asked["example.net.", "MX"]               # how often, over UDP and TCP
        dns.secure = {"example.net."}                 # zones whose answers a validating resolver would call proven
        dns.hold()                                    # answers wait from now on
        await dns.holding(10)                         # until so many do
        dns.let_go()
"""

import asyncio
from collections import Counter
from types import TracebackType
from typing import Literal, Self

from dnslib import QTYPE, RCODE, RR, DNSRecord  # type: ignore[import-untyped]

Trouble = Literal["servfail", "refused", "silent", "truncated"]
RCODES = {"servfail": RCODE.SERVFAIL, "refused": RCODE.REFUSED}


class DnsServer:
    def __init__(self, zone: str = "") -> None:
        lines = (line.strip() for line in zone.splitlines())
        self.records: list[RR] = [record for line in lines if line for record in RR.fromZone(line)]
        self.trouble: dict[str | tuple[str, str], Trouble] = {}
        self.secure: set[str] = set()
        self.asked: Counter[tuple[str, str]] = Counter()
        self.knows_edns = True
        self.peers: set[tuple[str, int]] = set()
        self.port = 0
        self._more = asyncio.Condition()
        self._held: list[tuple[bytes, tuple[str, int]]] | None = None
        self._connections: set[asyncio.StreamWriter] = set()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._tcp = await asyncio.start_server(self._serve_tcp, "127.0.0.1", 0)
        self.port = self._tcp.sockets[0].getsockname()[1]
        self._udp, _ = await loop.create_datagram_endpoint(lambda: _Udp(self), ("127.0.0.1", self.port))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._udp.close()
        self._tcp.close()
        for _ in range(3):  # who was let in a moment ago is not among them yet
            await asyncio.sleep(0)
        for connection in list(self._connections):
            connection.close()

    def hold(self) -> None:
        self._held = []

    async def holding(self, questions: int) -> None:
        async with self._more:
            await self._more.wait_for(lambda: len(self._held or ()) >= questions)

    def let_go(self) -> None:
        held, self._held = self._held or [], None
        for reply, peer in held:
            self._udp.sendto(reply, peer)

    def reply_to(self, packet: bytes, peer: tuple[str, int]) -> None:
        """Over UDP."""
        self.peers.add(peer)
        if reply := self.answer(packet, "udp"):
            if self._held is None:
                self._udp.sendto(reply, peer)
            else:
                self._held.append((reply, peer))
                self._telling = asyncio.ensure_future(self._tell())

    async def _tell(self) -> None:
        async with self._more:
            self._more.notify_all()

    def answer(self, packet: bytes, over: Literal["udp", "tcp"]) -> bytes | None:
        query = DNSRecord.parse(packet)
        name, record_type = str(query.q.qname).lower(), QTYPE[query.q.qtype]
        self.asked[name, record_type] += 1
        reply = query.reply()
        if query.ar and not self.knows_edns:
            return packet[:2] + b"\x80\x01" + b"\x00" * 8  # FORMERR, in a header alone
        match self.trouble.get((name, record_type)) or self.trouble.get(name):
            case "silent":
                return None
            case "servfail" | "refused" as word:
                reply.header.rcode = RCODES[word]
            case "truncated" if over == "udp":
                reply.header.tc = 1
            case _:
                self._look_up(reply, name, record_type)
                reply.header.ad = int(all(map(self._is_secure, [name, *(str(one.rname).lower() for one in reply.rr)])))
        return bytes(reply.pack())

    def _look_up(self, reply: DNSRecord, name: str, record_type: str) -> None:
        at_name = self.at(name)
        reply.add_answer(*(record for record in at_name if QTYPE[record.rtype] in (record_type, "CNAME")))
        aliases = [str(record.rdata).lower() for record in at_name if QTYPE[record.rtype] == "CNAME"]
        if aliases and record_type != "CNAME":
            self._look_up(reply, aliases[0], record_type)
        elif not at_name and not self.is_above_one(name):
            reply.header.rcode = RCODE.NXDOMAIN
        if not aliases and not any(QTYPE[record.rtype] == record_type for record in reply.rr):
            reply.add_auth(*(zone for zone in self.zones() if name.endswith(str(zone.rname).lower())))

    # What it knows; who serves thousands of names looks them up otherwise (`loadtests.zone`)

    def at(self, name: str) -> list[RR]:
        """The records of a name."""
        return [record for record in self.records if str(record.rname).lower() == name]

    def is_above_one(self, name: str) -> bool:
        """There are names below it."""
        return any(str(record.rname).lower().endswith(f".{name}") for record in self.records)

    def zones(self) -> list[RR]:
        return [record for record in self.records if QTYPE[record.rtype] == "SOA"]

    def _is_secure(self, name: str) -> bool:
        return any(name == zone or name.endswith(f".{zone}") for zone in self.secure)

    async def _serve_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        try:
            while True:
                length = int.from_bytes(await reader.readexactly(2), "big")
                if reply := self.answer(await reader.readexactly(length), "tcp"):
                    writer.write(len(reply).to_bytes(2, "big") + reply)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            self._connections.discard(writer)


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, server: DnsServer) -> None:
        self._server = server

    def datagram_received(self, packet: bytes, peer: tuple[str, int]) -> None:
        self._server.reply_to(packet, peer)
