"""What a validating resolver says, and what counts as silence, against a DNS server on a socket."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from services.relay.encryption.dnssec import (
    MAX_NEGATIVE_TTL_S,
    Answer,
    RecordType,
    ValidatingResolver,
    parse_server,
)
from services.relay.words.tls import Tlsa
from tests.fakes.dns_server import DnsServer, Trouble

DIGEST = "ab" * 32
ZONE = f"""
    signed.example.               300 IN SOA ns.signed.example. admin.signed.example. 1 60 60 60 90
    signed.example.               200 IN MX 10 MX.signed.example.
    signed.example.               200 IN MX 20 backup.signed.example.
    mx.signed.example.            200 IN A 192.0.2.1
    alias.signed.example.         20  IN CNAME mx.signed.example.
    away.signed.example.          300 IN CNAME mx.plain.example.
    lost.signed.example.          300 IN CNAME nowhere.signed.example.
    _25._tcp.mx.signed.example.   300 IN TLSA 3 1 1 {DIGEST}
    _25._tcp.mx.signed.example.   300 IN TLSA 2 0 1 {DIGEST}
    plain.example.                300 IN MX 10 mx.plain.example.
    mx.plain.example.             300 IN A 192.0.2.2
    _25._tcp.mx.plain.example.    300 IN TLSA 3 1 1 {DIGEST}
    week.signed.example.          604800 IN A 192.0.2.3
    zero.signed.example.          0 IN A 192.0.2.3
"""


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def resolving(
    timeout_ms: int = 10_000, clock: Clock | None = None, cache_entries: int = 100
) -> AsyncIterator[tuple[ValidatingResolver, DnsServer]]:
    async with DnsServer(ZONE) as server:
        server.secure = {"signed.example."}
        resolver = ValidatingResolver(server.address, timeout_ms, clock or Clock(), cache_entries)
        try:
            yield resolver, server
        finally:
            await resolver.close()


@pytest.mark.parametrize(
    ("name", "record_type", "expected"),
    [
        (
            "signed.example",
            "MX",
            Answer("found", True, "signed.example", ((10, "mx.signed.example"), (20, "backup.signed.example")), 200.0),
        ),
        ("plain.example", "MX", Answer("found", False, "plain.example", ((10, "mx.plain.example"),), 300.0)),
        ("mx.signed.example", "A", Answer("found", True, "mx.signed.example", ((0, "192.0.2.1"),), 200.0)),
        ("alias.signed.example", "A", Answer("found", True, "mx.signed.example", ((0, "192.0.2.1"),), 20.0)),
        ("away.signed.example", "A", Answer("found", False, "mx.plain.example", ((0, "192.0.2.2"),), 300.0)),
        (
            "away.signed.example",
            "CNAME",
            Answer("found", True, "away.signed.example", ((0, "mx.plain.example"),), 300.0),
        ),
        ("week.signed.example", "A", Answer("found", True, "week.signed.example", ((0, "192.0.2.3"),), 86_400.0)),
        ("zero.signed.example", "A", Answer("found", True, "zero.signed.example", ((0, "192.0.2.3"),), 5.0)),
        ("mx.signed.example", "TLSA", Answer("none", True, "mx.signed.example", (), 90.0, "NOERROR")),
        ("nowhere.signed.example", "A", Answer("none", True, "nowhere.signed.example", (), 90.0, "NXDOMAIN")),
        ("nowhere.example", "A", Answer("none", False, "nowhere.example", (), 5.0, "NXDOMAIN")),
    ],
)
async def test_an_answer_says_what_is_there_and_whether_it_is_proven(
    name: str, record_type: RecordType, expected: Answer
) -> None:
    async with resolving() as (resolver, _):
        assert await resolver.ask(name, record_type) == expected


async def test_tlsa_records_come_as_they_are() -> None:
    async with resolving() as (resolver, _):
        answer = await resolver.ask("_25._tcp.mx.signed.example", "TLSA")

        assert set(answer.rows) == {Tlsa(3, 1, 1, bytes.fromhex(DIGEST)), Tlsa(2, 0, 1, bytes.fromhex(DIGEST))}
        assert answer.secure


@pytest.mark.parametrize("trouble", ["servfail", "refused", "silent"])
async def test_what_cannot_be_validated_or_had_is_no_denial(trouble: Trouble) -> None:
    async with resolving(timeout_ms=50) as (resolver, server):
        server.trouble["mx.signed.example."] = trouble

        answer = await resolver.ask("mx.signed.example", "A")

        assert (answer.status, answer.secure) == ("failed", False)
        assert answer.detail


async def test_an_alias_that_leads_nowhere_is_none() -> None:
    async with resolving() as (resolver, _):
        answer = await resolver.ask("lost.signed.example", "A")

        assert (answer.status, answer.canonical) == ("none", "nowhere.signed.example")


async def test_nobody_at_the_address_is_a_failure() -> None:
    async with DnsServer(ZONE) as server:
        address = server.address
    resolver = ValidatingResolver(address, 50, Clock())

    assert (await resolver.ask("signed.example", "MX")).status == "failed"
    await resolver.close()


async def test_a_truncated_answer_is_asked_for_again_over_tcp() -> None:
    async with resolving() as (resolver, server):
        server.trouble["signed.example."] = "truncated"

        assert (await resolver.ask("signed.example", "MX")).status == "found"
        assert server.asked["signed.example.", "MX"] == 2


async def test_an_answer_is_kept_for_its_time() -> None:
    clock = Clock()
    async with resolving(clock=clock) as (resolver, server):
        for now in (0.0, 100.0, 199.0):
            clock.now = now
            await resolver.ask("signed.example", "MX")
        assert server.asked["signed.example.", "MX"] == 1

        clock.now = 201.0
        await resolver.ask("signed.example", "MX")
        assert server.asked["signed.example.", "MX"] == 2


async def test_a_denial_is_kept_as_long_as_its_zone_says_within_bounds() -> None:
    async with resolving() as (resolver, server):
        assert (await resolver.ask("no.signed.example", "A")).ttl_s == 90.0
        server.records = [one for one in server.records if str(one.rname) != "signed.example."]
        server.records += DnsServer("signed.example. 90000 IN SOA ns.x. admin.x. 1 60 60 60 90000").records
        assert (await resolver.ask("nor.signed.example", "A")).ttl_s == MAX_NEGATIVE_TTL_S


async def test_a_failure_is_kept_for_a_moment_only() -> None:
    clock = Clock()
    async with resolving(clock=clock) as (resolver, server):
        server.trouble["signed.example."] = "servfail"
        await resolver.ask("signed.example", "MX")
        server.trouble.clear()
        clock.now = 6.0

        assert (await resolver.ask("signed.example", "MX")).status == "found"


async def test_the_answer_that_was_used_longest_ago_is_forgotten_first() -> None:
    async with resolving(cache_entries=2) as (resolver, server):
        for name in ("mx.signed.example", "zero.signed.example", "mx.signed.example", "week.signed.example"):
            await resolver.ask(name, "A")
        await resolver.ask("mx.signed.example", "A")
        await resolver.ask("zero.signed.example", "A")

        assert server.asked["mx.signed.example.", "A"] == 1
        assert server.asked["zero.signed.example.", "A"] == 2


@pytest.mark.parametrize(
    ("text", "server"),
    [
        ("127.0.0.1", ("127.0.0.1", 53)),
        ("127.0.0.1:5353", ("127.0.0.1", 5353)),
        ("::1", ("::1", 53)),
        ("[::1]", ("::1", 53)),
        ("[::1]:5353", ("::1", 5353)),
    ],
)
def test_a_resolver_is_an_address_with_or_without_a_port(text: str, server: tuple[str, int]) -> None:
    assert parse_server(text) == server


@pytest.mark.parametrize("text", ["", "localhost", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:70000", "127.0.0.1:x"])
def test_what_is_no_address_is_refused_in_words(text: str) -> None:
    with pytest.raises(ValueError, match=r"tls\.dane_resolver"):
        parse_server(text)
