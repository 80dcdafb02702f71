"""Which hosts of a domain have to prove themselves by their TLSA records (RFC 7672), asked of a validating resolver.

Rules, with their sections:
1. An MX record set that is not proven leads to no DANE (2.2.1): who could change it could name a host of their own.
2. A proven one names the hosts: a hop to any other came of a forged answer, and is left out.
3. TLSA records are asked for only where the host's address records are proven (2.2.2), or at least the alias that it
   is: elsewhere there can be none, and there are name servers that fail at the question.
4. Of an alias, those of its end count before its own.
5. Records that are proven and of use bind (`dane`); proven and all of no use: the host offers TLS, so it is `required`
   (2.2); not proven: none.
6. What cannot be looked up is not the same as not there (2.1.1): the host is left out, for now.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from services.relay.encryption.dnssec import Answer, RecordType
from services.relay.words.tls import Tlsa, TlsPolicy, strongest


@dataclass(frozen=True, slots=True)
class LeftOut:
    """The host must not be used now."""

    reason: str


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """Nobody could tell which hosts the domain has."""

    reason: str


class Resolver(Protocol):
    async def ask(self, name: str, record_type: RecordType) -> Answer: ...


class Dane:
    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver

    async def policies(
        self, domain: str, hosts: Collection[str], port: int
    ) -> Mapping[str, TlsPolicy | LeftOut] | NoAnswer:
        """For those of the domain's `hosts` that DANE has to do with. An address literal has nothing to do with it."""
        if domain.startswith("["):
            return {}
        mx = await self._resolver.ask(domain, "MX")
        if mx.status == "failed":
            return NoAnswer(f"MX of {domain}: {mx.detail}")
        if mx.status == "found" and not mx.secure:
            return {}
        named = {row[1] for row in mx.rows if isinstance(row, tuple)} if mx.status == "found" else {domain}
        found: dict[str, TlsPolicy | LeftOut] = {}
        for host in hosts:
            if mx.secure and host not in named:
                found[host] = LeftOut(f"{host} is none of the hosts that {domain} has signed for")
            elif (policy := await self._of_host(host, port, (domain, mx.canonical))) is not None:
                found[host] = policy
        return found

    async def _of_host(self, host: str, port: int, domains: tuple[str, ...]) -> TlsPolicy | LeftOut | None:
        bases = await self._bases(host)
        if isinstance(bases, LeftOut):
            return bases
        for base in bases:
            name = f"_{port}._tcp.{base}"
            answer = await self._resolver.ask(name, "TLSA")
            if answer.status == "failed":
                return LeftOut(f"TLSA of {name}: {answer.detail}")
            if answer.status == "found" and answer.secure:
                return _policy(base, domains, answer)
        return None

    async def _bases(self, host: str) -> tuple[str, ...] | LeftOut:
        """Names below which TLSA records may be, the first to be asked first."""
        address = await self._resolver.ask(host, "A")
        if address.status == "failed":
            return LeftOut(f"address of {host}: {address.detail}")
        if address.secure:
            return (host,) if address.canonical == host else (address.canonical, host)
        if address.canonical != host:
            alias = await self._resolver.ask(host, "CNAME")
            if alias.status == "failed":
                return LeftOut(f"CNAME of {host}: {alias.detail}")
            if alias.secure:
                return (host,)
        return ()


def _policy(base: str, domains: tuple[str, ...], answer: Answer) -> TlsPolicy:
    records = tuple(row for row in answer.rows if isinstance(row, Tlsa))
    published = tuple(sorted(record.text for record in records))
    if not (usable := strongest(records)):
        return TlsPolicy("required", "dane", published=published)
    # 3.2.2: the name below which the records are, and the domain's own, which its hosts may have certificates for.
    names = tuple(dict.fromkeys((base, *domains)))
    return TlsPolicy("dane", "dane", names, tuple(sorted(usable, key=lambda record: record.text)), published=published)
