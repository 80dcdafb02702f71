"""What is not ours: providers that mail goes to, each of which may misbehave, and the DNS that finds them."""

from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from tests.fakes.dns_server import DnsServer
from tests.fakes.smtp_server import SmtpServer, Step
from tests.servers import free_port

#: Source addresses of ours: the one in use, and the one in reserve.
USED, RESERVE = "127.0.0.2", "127.0.0.3"
EGRESS = f"""
[source.a1]
address = "{USED}"
helo = "a1.drill.example"
[source.a2]
address = "{RESERVE}"
helo = "a2.drill.example"
[pool.default]
sources = ["a1"]
[pool.reserve]
sources = ["a2"]
"""
TAKEN = "250 2.1.5 ok"
#: What a host takes to take a mail: so that what is sent while a fault is put in is still under way then.
TAKES_S = 0.05
#: And to find out that somebody is nobody, who begins so: a list of them is not over before it is stopped.
LOOKS_UP_S = 0.2
NOBODY = "nobody"


@dataclass(frozen=True)
class Place:
    """A provider: the name that dashboards show, a domain of it, its mail host and that one's address."""

    name: str
    domain: str
    host: str
    address: str


PLACES = (
    Place("bouygues", "bbox.fr", "mx1.bbox.fr", "127.0.7.1"),
    Place("orange", "orange.fr", "smtp-in.orange.fr", "127.0.7.2"),
    Place("laposte", "laposte.net", "smtpz4.laposte.net", "127.0.7.3"),
    Place("sfr", "sfr.fr", "smtp-in.sfr.fr", "127.0.7.4"),
    Place("free", "free.fr", "mx1.free.fr", "127.0.7.5"),
)
#: The one that always takes mail.
GOOD = "bouygues"


class Host(SmtpServer):
    """A provider's host. While it `says` something, that is the answer to each recipient: of everybody's mail, or of
    what comes from `refused` alone."""

    def __init__(self, place: Place, port: int) -> None:
        super().__init__({"RCPT": self.answer, "DOT": (TAKES_S, "250 2.0.0 taken")}, port=port, host=place.address)
        self.place = place
        self.says = ""
        self.refused = ""
        #: Before it answers a recipient that it refuses.
        self.thinks_s = 0.0
        self._is_here = False

    def answer(self, argument: str) -> Step:
        if f"<{NOBODY}" in argument:
            return LOOKS_UP_S, "550 5.1.1 User unknown"
        if self.says and self.refused in ("", self.peer):
            return (self.thinks_s, self.says) if self.thinks_s else self.says
        return TAKEN

    async def come(self) -> None:
        await self.__aenter__()
        self._is_here = True

    async def go(self) -> None:
        """Away: connections end, and new ones are refused."""
        if self._is_here:
            self._is_here = False
            await self.__aexit__(None, None, None)

    def taken(self) -> Counter[str]:
        """How often the mail of each address was taken."""
        return Counter(rcpt.partition("<")[2].partition(">")[0] for one in self.envelopes for rcpt in one.rcpts)


class World:
    """All of them, on one port. `environ` are the settings by which an instance finds them."""

    def __init__(self) -> None:
        self.port = free_port()
        self.hosts = {place.name: Host(place, self.port) for place in PLACES}
        self._dns = DnsServer("\n".join(map(_records, PLACES)))
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._open.enter_async_context(self._dns)
        for host in self.hosts.values():
            await host.come()
            self._open.push_async_callback(host.go)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._open.aclose()

    @property
    def environ(self) -> dict[str, str]:
        return {
            "ESTAFETTE_RELAY_ROUTE": "mx",
            "ESTAFETTE_RELAY_MX_PORT": str(self.port),
            "ESTAFETTE_RELAY_PRIVATE_NETWORKS": "true",
            "ESTAFETTE_RELAY_HELO": "drill.example",
            "ESTAFETTE_TLS_MTA_STS": "false",
            "ESTAFETTE_DNS_SERVERS": self._dns.address,
        }

    def taken(self) -> Counter[str]:
        return sum((host.taken() for host in self.hosts.values()), Counter())


def _records(place: Place) -> str:
    return f"{place.domain}. 3600 IN MX 10 {place.host}.\n{place.host}. 3600 IN A {place.address}"
