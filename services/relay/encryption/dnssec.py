"""Answers of a validating resolver, with whether they are proven: what DANE rests on (RFC 7672 section 2.1).

The resolver validates and says so by the AD bit, which is worth as much as the way to it: it has to be this machine's,
or one behind a path that nobody else writes to. What it cannot validate (bogus) is a server failure, which is never
the same as "not there": an attacker could cause it.

Answers are kept for their TTL, negative ones as RFC 2308 has it; one look-up at a time is made for one question.
"""

import asyncio
import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import dns.asyncquery
import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rdtypes.ANY.CNAME
import dns.rdtypes.ANY.MX
import dns.rdtypes.ANY.SOA
import dns.rdtypes.ANY.TLSA
import dns.rdtypes.IN.A
import dns.rrset

from services.relay.words.tls import Tlsa
from shared.net.dns import MAX_NEGATIVE_TTL_S, MAX_TTL_S, MIN_NEGATIVE_TTL_S, MIN_TTL_S, NEGATIVE_TTL_S
from shared.net.remembered import AskedOnce

RecordType = Literal["MX", "A", "CNAME", "TLSA"]
Row = tuple[int, str] | Tlsa

DNS_PORT = 53
#: A failure holds mail back, so it is not kept for long.
FAILURE_TTL_S = 5.0
#: About 500 bytes each.
CACHE_ENTRIES = 50_000
#: The timeout is for one try.
TRIES = 2
#: Each is a socket.
MAX_ASKING = 100


@dataclass(frozen=True, slots=True)
class Answer:
    """`rows` are (preference, host) of MX, (0, text) of A and CNAME, Tlsa of TLSA; empty unless `found`. `secure`: all
    of it is proven, the aliases on the way and the denial too. `canonical` is where aliases led."""

    status: Literal["found", "none", "failed"]
    secure: bool
    canonical: str
    rows: tuple[Row, ...] = ()
    ttl_s: float = NEGATIVE_TTL_S
    detail: str = ""


class ValidatingResolver:
    """`server` is the setting `tls.dane_resolver`; `clock` counts seconds and never goes back. ValueError if the server
    is not an address."""

    def __init__(
        self, server: str, timeout_ms: int, clock: Callable[[], float], cache_entries: int = CACHE_ENTRIES
    ) -> None:
        self._address, self._port = parse_server(server)
        self._timeout_s = timeout_ms / 1000
        self._answers = AskedOnce(self._look_up, cache_entries, clock)
        self._room = asyncio.Semaphore(MAX_ASKING)

    async def ask(self, name: str, record_type: RecordType) -> Answer:
        """For a name in ASCII, in lower case and without a dot at the end."""
        return await self._answers.ask((name, record_type))

    async def close(self) -> None:
        await self._answers.close()

    async def _look_up(self, question: tuple[str, RecordType]) -> tuple[Answer, float]:
        async with self._room:
            answer = await self._query(*question)
        return answer, answer.ttl_s

    async def _query(self, name: str, record_type: RecordType) -> Answer:
        try:
            query = dns.message.make_query(name, record_type, want_dnssec=True)
        except dns.exception.DNSException as error:
            return Answer("none", False, name, detail=f"not a name: {error}")
        # RFC 6840 section 5.7: AD asks for AD.
        query.flags |= dns.flags.AD
        failed = Answer("failed", False, name, ttl_s=FAILURE_TTL_S, detail="no answer in time")
        for _ in range(TRIES):
            try:
                response, _ = await dns.asyncquery.udp_with_fallback(
                    query, self._address, self._timeout_s, self._port, ignore_unexpected=True, ignore_errors=True
                )
            except dns.exception.Timeout:
                continue
            except (dns.exception.DNSException, OSError, EOFError) as error:
                failed = Answer("failed", False, name, ttl_s=FAILURE_TTL_S, detail=str(error) or type(error).__name__)
            else:
                return _answer(response, name, record_type)
        return failed


def _answer(response: dns.message.Message, name: str, record_type: RecordType) -> Answer:
    code = response.rcode()
    if code not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        return Answer("failed", False, name, ttl_s=FAILURE_TTL_S, detail=dns.rcode.to_text(code))
    secure = bool(response.flags & dns.flags.AD)
    try:
        chain = response.resolve_chaining()  # type: ignore[attr-defined]
    except dns.exception.DNSException as error:  # aliases in a circle, and the like
        return Answer("failed", False, name, ttl_s=FAILURE_TTL_S, detail=str(error) or type(error).__name__)
    canonical = chain.canonical_name.to_text(omit_final_dot=True).lower()
    if record_type == "CNAME":
        canonical = name
    if chain.answer is None:
        ttl_s = _negative_ttl_s(response, float(chain.minimum_ttl))
        return Answer("none", secure, canonical, ttl_s=ttl_s, detail=dns.rcode.to_text(code))
    ttl_s = min(max(float(chain.minimum_ttl), MIN_TTL_S), MAX_TTL_S)
    return Answer("found", secure, canonical, tuple(map(_row, chain.answer)), ttl_s)


def _row(record: object) -> Row:
    match record:
        case dns.rdtypes.ANY.MX.MX():
            return record.preference, record.exchange.to_text(omit_final_dot=True).lower()
        case dns.rdtypes.ANY.TLSA.TLSA():
            return Tlsa(record.usage, record.selector, record.mtype, bytes(record.cert))
        case dns.rdtypes.ANY.CNAME.CNAME():
            return 0, record.target.to_text(omit_final_dot=True).lower()
        case dns.rdtypes.IN.A.A():
            return 0, record.address
        case other:
            raise ValueError(f"unexpected DNS record {other!r:.100}")


def _negative_ttl_s(response: dns.message.Message, aliases_s: float) -> float:
    """RFC 2308 section 5: the smaller of the SOA's TTL and its minimum; an alias may lead elsewhere before."""
    for rrset in response.authority:
        if rrset.rdtype == dns.rdatatype.SOA:
            soa = rrset[0]
            assert isinstance(soa, dns.rdtypes.ANY.SOA.SOA)
            return min(max(min(rrset.ttl, soa.minimum, aliases_s), MIN_NEGATIVE_TTL_S), MAX_NEGATIVE_TTL_S)
    return NEGATIVE_TTL_S


def parse_server(text: str) -> tuple[str, int]:
    """`127.0.0.1`, `127.0.0.1:5353`, `::1`, `[::1]:5353`. ValueError in words for the operator."""
    wrong = f"tls.dane_resolver: an address with or without a port, not {text!r:.100}"
    try:
        return str(ipaddress.ip_address(text.strip("[]"))), DNS_PORT
    except ValueError:
        host, _, port = text.rpartition(":")
    try:
        address = str(ipaddress.ip_address(host.strip("[]")))
    except ValueError:
        raise ValueError(wrong) from None
    if not port.isdecimal() or not 0 < int(port) < 65_536:
        raise ValueError(wrong)
    return address, int(port)
