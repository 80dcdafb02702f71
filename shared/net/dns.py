"""Where the mail of a domain goes: its MX hosts and their addresses (RFC 5321 section 5.1, RFC 7505), from a cache.

Answers are values, because each of them decides about recipients:

    MailHosts        hosts to try, the preferred first; the domain itself where it has no MX record but an address
    NoMail           the domain says that it takes none (RFC 7505): permanent
    NoDomain         there is no such domain, or nothing there that could take mail: permanent
    DnsUnavailable   nobody could tell: temporary

`DnsClient` asks, `Resolver` remembers. An answer is kept for its TTL, within bounds, and a denial for as long as its
zone's SOA says (RFC 2308). One look-up at a time is made for one question, and everybody who asks meanwhile gets its
answer; so many look-ups are made at a time; the least recently used answers go first.
"""

import asyncio
import ipaddress
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, Protocol

from shared.net.dns_message import RecordType
from shared.net.name_servers import NameServers
from shared.net.remembered import AskedOnce

#: A TTL of 0 is common behind load balancers; at thousands of messages a second it would be thousands of look-ups.
MIN_TTL_S = 5.0
#: As unbound's cache-max-ttl: who publishes a week by mistake is not held to it.
MAX_TTL_S = 86_400.0
#: "No such name" and "no such record" are kept as their SOA says (RFC 2308 section 5), for an hour at most (one to
#: three are recommended there): a domain that has published its MX shall get its mail. Who says 0 is asked each second.
MIN_NEGATIVE_TTL_S = 1.0
MAX_NEGATIVE_TTL_S = 3_600.0
#: Without a SOA they should not be kept at all: just as long that a million messages are not a million questions.
NEGATIVE_TTL_S = 5.0
#: A server failure or a silence; RFC 2308 section 7 allows five minutes. It spares a slow server a million repeats.
FAILURE_TTL_S = 10.0
#: About 300 bytes each.
CACHE_ENTRIES = 100_000
#: Domains whose hosts are kept in order: they are looked at for every message, and there are few at a time.
MX_SETS = 4_096
#: Look-ups under way (the setting `dns.at_a_time`): resolvers drop what comes in larger bursts.
AT_A_TIME = 100
#: A look-up that has taken so long waits for somebody's dead server, and the next one may begin in its place …
PATIENCE_S = 1.0
#: … while there are not as many times `AT_A_TIME` under way.
MOST_WAITING = 5

_HOST_NAME = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*"
)


@dataclass(frozen=True, slots=True)
class MailHosts:
    """`hosts` are (preference, name), the lowest preference first; never empty."""

    hosts: tuple[tuple[int, str], ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for _, name in self.hosts)


@dataclass(frozen=True, slots=True)
class NoMail:
    domain: str


@dataclass(frozen=True, slots=True)
class NoDomain:
    domain: str
    detail: str


@dataclass(frozen=True, slots=True)
class DnsUnavailable:
    name: str
    detail: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What DNS says of one name and record type. `rows` are (preference, host) of an MX record, (0, address) of A and
    AAAA, (0, text) of TXT, its strings joined; not empty if and only if `status` is `found`."""

    status: Literal["found", "no_record", "no_name", "unavailable"]
    rows: tuple[tuple[int, str], ...] = ()
    ttl_s: float = NEGATIVE_TTL_S
    detail: str = ""


class Client(Protocol):
    async def ask(self, name: str, record_type: RecordType) -> Answer: ...
    async def close(self) -> None: ...


class DnsClient:
    """Asks the servers of the setting `dns.servers`. Make it inside the running loop. ValueError as `NameServers`."""

    def __init__(self, servers: str, timeout_ms: int) -> None:
        self._servers = NameServers(servers, timeout_ms)

    async def ask(self, name: str, record_type: RecordType) -> Answer:
        try:
            reply = await self._servers.ask(name, record_type)
        except ValueError as error:  # nobody can have published it
            return Answer("no_name", detail=str(error))
        match reply.status:
            case "found" | "no_record" | "no_name" as status:
                ttl_s = NEGATIVE_TTL_S if reply.ttl_s is None else float(reply.ttl_s)
                return Answer(status, reply.rows, ttl_s, reply.detail)
            case _:
                return Answer("unavailable", ttl_s=FAILURE_TTL_S, detail=reply.detail)

    async def close(self) -> None:
        await self._servers.close()


async def texts(names: Sequence[str], servers: str, timeout_ms: int) -> dict[str, tuple[str, ...] | None]:
    """The TXT records of each name, each as one text; None where nobody could tell. Asked now: what a cache of this
    process knows may be from before a record was published. ValueError as `DnsClient`."""
    client = DnsClient(servers, timeout_ms)
    try:
        answers = await asyncio.gather(*(client.ask(name, "TXT") for name in names))
    finally:
        await client.close()
    return {
        name: None if one.status == "unavailable" else tuple(text for _, text in one.rows)
        for name, one in zip(names, answers, strict=True)
    }


def resolver(servers: str, timeout_ms: int, at_a_time: int, clock: Callable[[], float]) -> "Resolver":
    """Make it inside the running loop. ValueError as `DnsClient`."""
    return Resolver(DnsClient(servers, timeout_ms), clock, at_a_time=at_a_time)


class _Places:
    """How many look-ups may be under way: `at_a_time` of them young, so that no burst is larger, and some times as many
    together, so that names whose servers are dead do not hold up the others."""

    def __init__(self, at_a_time: int, patience_s: float) -> None:
        self._young = asyncio.Semaphore(at_a_time)
        self._all = asyncio.Semaphore(at_a_time * MOST_WAITING)
        self._patience_s = patience_s
        self._are_young: set[object] = set()

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        async with self._all:
            await self._young.acquire()
            this = object()
            self._are_young.add(this)
            growing = asyncio.get_running_loop().call_later(self._patience_s, self._grown, this)
            try:
                yield
            finally:
                growing.cancel()
                self._grown(this)

    def _grown(self, one: object) -> None:
        if one in self._are_young:
            self._are_young.remove(one)
            self._young.release()


class Resolver:
    """`clock` counts seconds and never goes back (`time.monotonic`). `at_a_time` is how many look-ups go out at once;
    one that has taken `patience_s` lets the next begin (`_Places`)."""

    def __init__(
        self,
        client: Client,
        clock: Callable[[], float],
        cache_entries: int = CACHE_ENTRIES,
        *,
        at_a_time: int = AT_A_TIME,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._client = client
        self._places = _Places(at_a_time, patience_s)
        self._answers = AskedOnce(self._look_up, cache_entries, clock)

    async def mail_hosts(self, domain: str) -> MailHosts | NoMail | NoDomain | DnsUnavailable:
        """Who takes mail for this domain: a name in ASCII (IDNA is the caller's), or an address literal."""
        domain = domain.lower().rstrip(".")
        if address_of_literal(domain):
            return MailHosts(((0, domain),))
        if not _HOST_NAME.fullmatch(domain):
            return NoDomain(domain, "not a domain name")
        answer = await self._ask(domain, "MX")
        match answer.status:
            case "found":
                return _from_mx(domain, answer.rows)
            case "no_record":
                return await self._implicit(domain)
            case "no_name":
                return NoDomain(domain, answer.detail)
            case "unavailable":
                return DnsUnavailable(domain, answer.detail)

    async def addresses(self, host: str) -> list[str] | DnsUnavailable:
        """The IPv4 addresses of a host, then its IPv6 addresses; [] if it has none. An address is its own."""
        # Asked for every host of every message: what is known costs no task, and no look at how it is written.
        four, six = self._answers.known((host, "A")), self._answers.known((host, "AAAA"))
        if four is None or six is None:
            return await self._looked_up(host)
        return _addresses(host, four, six)

    async def _looked_up(self, host: str) -> list[str] | DnsUnavailable:
        if literal := address_of_literal(host) or _plain_address(host):
            return [literal]
        host = host.lower().rstrip(".")
        if not _HOST_NAME.fullmatch(host):
            return []
        return _addresses(host, *await asyncio.gather(self._ask(host, "A"), self._ask(host, "AAAA")))

    async def texts(self, name: str) -> list[str] | DnsUnavailable:
        """The TXT records of a name; [] if it has none."""
        name = name.lower().rstrip(".")
        if not _HOST_NAME.fullmatch(name):
            return []
        answer = await self._ask(name, "TXT")
        if answer.status == "unavailable":
            return DnsUnavailable(name, answer.detail)
        return [text for _, text in answer.rows]

    async def close(self) -> None:
        await self._answers.close()
        await self._client.close()

    async def _implicit(self, domain: str) -> MailHosts | NoDomain | DnsUnavailable:
        """RFC 5321 section 5.1: without an MX record, the domain is its own host if it has an address."""
        match await self.addresses(domain):
            case DnsUnavailable() as unavailable:
                return unavailable
            case []:
                return NoDomain(domain, "the domain has neither a mail host nor an address")
            case _:
                return MailHosts(((0, domain),))

    async def _ask(self, name: str, record_type: RecordType) -> Answer:
        return await self._answers.ask((name, record_type))

    async def _look_up(self, question: tuple[str, RecordType]) -> tuple[Answer, float]:
        async with self._places.one():
            answer = await self._client.ask(*question)
        return answer, kept_s(answer)


def kept_s(answer: Answer) -> float:
    """How long an answer is believed: as its zone says, within bounds."""
    match answer.status:
        case "found":
            return min(max(answer.ttl_s, MIN_TTL_S), MAX_TTL_S)
        case "no_record" | "no_name":
            return min(max(answer.ttl_s, MIN_NEGATIVE_TTL_S), MAX_NEGATIVE_TTL_S)
        case "unavailable":
            return answer.ttl_s


def address_of_literal(domain: str) -> str | None:
    """`192.0.2.1` of `[192.0.2.1]`, `2001:db8::1` of `[IPv6:2001:db8::1]` (RFC 5321 section 4.1.3); None of others."""
    if not (domain.startswith("[") and domain.endswith("]")):
        return None
    inside = domain[1:-1]
    return _plain_address(inside[5:] if inside[:5].lower() == "ipv6:" else inside)


def _plain_address(text: str) -> str | None:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None


def _addresses(host: str, four: Answer, six: Answer) -> list[str] | DnsUnavailable:
    found = [address for _, address in (*four.rows, *six.rows)]
    failed = [answer for answer in (four, six) if answer.status == "unavailable"]
    if failed and not found:
        return DnsUnavailable(host, failed[0].detail)
    return found


@lru_cache(MX_SETS)
def _from_mx(domain: str, rows: tuple[tuple[int, str], ...]) -> MailHosts | NoMail | NoDomain:
    if all(not host for _, host in rows):
        return NoMail(domain)
    # RFC 7505 forbids a null MX beside others: those count. Names that cannot be host names are nobody's.
    hosts = sorted((preference, host) for preference, host in rows if _HOST_NAME.fullmatch(host))
    return MailHosts(tuple(hosts)) if hosts else NoDomain(domain, "its MX records name no host")
