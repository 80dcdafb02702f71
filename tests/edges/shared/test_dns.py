"""The resolver against a DNS server on a socket."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from dnslib import RR  # type: ignore[import-untyped]

from shared.net.dns import (
    FAILURE_TTL_S,
    Answer,
    DnsClient,
    DnsUnavailable,
    MailHosts,
    NoDomain,
    NoMail,
    Resolver,
    texts,
)
from tests.fakes.dns_server import DnsServer, Trouble

ZONE = """
    example.net.        300 IN SOA ns.example.net. admin.example.net. 1 60 60 60 60
    example.net.        300 IN MX 20 Backup.Example.net.
    example.net.        300 IN MX 10 mx.example.net.
    mx.example.net.     300 IN A 192.0.2.10
    mx.example.net.     300 IN AAAA 2001:db8::10
    implicit.example.   300 IN A 192.0.2.20
    null.example.       300 IN MX 0 .
    empty.example.      300 IN TXT "nothing to see"
    long.example.       300 IN TXT "v=STSv1; " "id=1;"
    long.example.       300 IN TXT "other"
    alias.txt.example.  300 IN CNAME long.example.
    alias.example.      20  IN CNAME example.net.
    dangling.example.   20  IN CNAME nowhere.example.
    plain.example.      300 IN CNAME implicit.example.
    both.example.       300 IN MX 0 .
    both.example.       300 IN MX 10 mx.example.net.
"""


@asynccontextmanager
async def resolving(timeout_ms: int = 10_000) -> AsyncIterator[tuple[Resolver, DnsServer]]:
    async with DnsServer(ZONE) as server:
        resolver = Resolver(DnsClient(server.address, timeout_ms), lambda: 0.0)
        try:
            yield resolver, server
        finally:
            await resolver.close()


@pytest.mark.parametrize(
    ("domain", "expected"),
    [
        ("example.net", MailHosts(((10, "mx.example.net"), (20, "backup.example.net")))),
        ("EXAMPLE.NET.", MailHosts(((10, "mx.example.net"), (20, "backup.example.net")))),
        ("alias.example", MailHosts(((10, "mx.example.net"), (20, "backup.example.net")))),
        ("implicit.example", MailHosts(((0, "implicit.example"),))),
        ("plain.example", MailHosts(((0, "plain.example"),))),
        ("null.example", NoMail("null.example")),
        ("both.example", MailHosts(((10, "mx.example.net"),))),
    ],
)
async def test_a_domain_says_who_takes_its_mail(domain: str, expected: MailHosts | NoMail) -> None:
    async with resolving() as (resolver, _):
        assert await resolver.mail_hosts(domain) == expected


@pytest.mark.parametrize("domain", ["nowhere.example", "empty.example", "dangling.example"])
async def test_a_domain_that_does_not_exist_is_none(domain: str) -> None:
    async with resolving() as (resolver, _):
        assert isinstance(await resolver.mail_hosts(domain), NoDomain)


@pytest.mark.parametrize("trouble", ["servfail", "refused", "silent"])
async def test_a_server_in_trouble_is_a_temporary_failure(trouble: Trouble) -> None:
    async with resolving(timeout_ms=50) as (resolver, server):
        server.trouble["example.net."] = trouble

        assert isinstance(await resolver.mail_hosts("example.net"), DnsUnavailable)


async def test_the_addresses_of_a_host_are_ipv4_first() -> None:
    async with resolving() as (resolver, _):
        assert await resolver.addresses("mx.example.net") == ["192.0.2.10", "2001:db8::10"]
        assert await resolver.addresses("backup.example.net") == []


async def test_a_truncated_answer_is_asked_for_again_over_tcp() -> None:
    async with resolving() as (resolver, server):
        server.trouble["example.net."] = "truncated"

        answer = await resolver.mail_hosts("example.net")

        assert isinstance(answer, MailHosts)
        assert server.asked["example.net.", "MX"] == 2


async def test_the_cache_spares_the_server() -> None:
    async with resolving() as (resolver, server):
        for _ in range(5):
            await resolver.mail_hosts("example.net")

        assert server.asked["example.net.", "MX"] == 1


async def test_a_chain_of_aliases_is_worth_its_shortest_link() -> None:
    async with DnsServer(ZONE) as server:
        client = DnsClient(server.address, 300)

        answer = await client.ask("alias.example", "MX")

        assert answer == Answer("found", ((20, "backup.example.net"), (10, "mx.example.net")), 20.0)
        await client.close()


async def test_a_server_that_is_no_address_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match=r"dns\.servers: 'not an address'"):
        DnsClient("not an address", 300)


async def test_no_server_at_the_address_is_a_temporary_failure() -> None:
    async with DnsServer(ZONE) as server:
        address = server.address
    resolver = Resolver(DnsClient(address, 50), lambda: 0.0)

    assert isinstance(await resolver.mail_hosts("example.net"), DnsUnavailable)
    await resolver.close()


async def test_texts_are_asked_for_now_each_as_one() -> None:
    long = "p=" + "x" * 300
    zone = f"""
        one.example.  300 IN TXT "v=DKIM1; " "{long[:200]}" "{long[200:]}"
        two.example.  300 IN TXT "a"
        two.example.  300 IN TXT "b"
        moved.example. 300 IN CNAME one.example.
        other.example. 300 IN A 192.0.2.1
    """
    async with DnsServer(zone) as server:
        server.trouble["broken.example."] = "servfail"
        names = ["one.example", "two.example", "moved.example", "other.example", "none.example", "broken.example"]

        found = await texts(names, server.address, 300)

        assert found["one.example"] == found["moved.example"] == (f"v=DKIM1; {long}",)
        assert sorted(found["two.example"] or ()) == ["a", "b"]
        assert [found[name] for name in names[3:]] == [(), (), None]
        assert server.asked["none.example.", "TXT"] == 1
        await texts(names, server.address, 300)
        assert server.asked["none.example.", "TXT"] == 2


async def test_texts_come_with_their_strings_joined() -> None:
    async with resolving() as (resolver, _):
        assert sorted(await resolver.texts("Long.example.")) == ["other", "v=STSv1; id=1;"]  # type: ignore[arg-type]
        assert sorted(await resolver.texts("alias.txt.example")) == ["other", "v=STSv1; id=1;"]  # type: ignore[arg-type]
        assert await resolver.texts("mx.example.net") == []
        assert await resolver.texts("nowhere.example") == []
        assert await resolver.texts("not a name") == []


async def test_texts_that_cannot_be_had_are_not_none() -> None:
    async with resolving(timeout_ms=50) as (resolver, server):
        server.trouble["long.example."] = "servfail"

        assert isinstance(await resolver.texts("long.example"), DnsUnavailable)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


SOA = "shop.example. {ttl} IN SOA ns.shop.example. admin.shop.example. 1 60 60 60 {minimum}"


@pytest.mark.parametrize(
    ("soa", "kept_s"),
    [
        (SOA.format(ttl=600, minimum=30), 30),
        (SOA.format(ttl=20, minimum=600), 20),
        (SOA.format(ttl=600, minimum=600), 600),
        (SOA.format(ttl=0, minimum=600), 1),
        (SOA.format(ttl=604_800, minimum=604_800), 3_600),
        ("", 5),
        ("other.example. 600 IN SOA ns.other.example. admin.other.example. 1 60 60 60 600", 5),
    ],
)
@pytest.mark.parametrize("there", ["shop.example. 300 IN TXT here", ""])
async def test_a_domain_whose_mail_host_appears_gets_its_mail_when_the_denial_is_over(
    soa: str, kept_s: int, there: str
) -> None:
    clock = Clock()
    async with DnsServer("\n".join((soa, there))) as server:
        resolver = Resolver(DnsClient(server.address, 300), clock)
        assert isinstance(await resolver.mail_hosts("shop.example"), NoDomain)

        for record in ("shop.example. 300 IN MX 10 mx.shop.example.", "mx.shop.example. 300 IN A 192.0.2.7"):
            server.records += RR.fromZone(record)
        clock.now += kept_s - 0.01
        assert isinstance(await resolver.mail_hosts("shop.example"), NoDomain)
        assert server.asked["shop.example.", "MX"] == 1

        clock.now += 0.02
        assert await resolver.mail_hosts("shop.example") == MailHosts(((10, "mx.shop.example"),))
        await resolver.close()


@pytest.mark.parametrize(
    "record", ["host.shop.example. 300 IN A 192.0.2.7", "host.shop.example. 300 IN AAAA 2001:db8::7"]
)
async def test_a_host_whose_address_appears_is_found_when_the_denial_is_over(record: str) -> None:
    clock = Clock()
    async with DnsServer(SOA.format(ttl=600, minimum=7)) as server:
        resolver = Resolver(DnsClient(server.address, 300), clock)
        assert await resolver.addresses("host.shop.example") == []

        server.records += RR.fromZone(record)
        clock.now += 7.1

        assert await resolver.addresses("host.shop.example") == [record.split()[-1]]
        await resolver.close()


async def test_a_policy_that_appears_is_found_when_the_denial_is_over() -> None:
    clock = Clock()
    async with DnsServer(SOA.format(ttl=600, minimum=7)) as server:
        resolver = Resolver(DnsClient(server.address, 300), clock)
        assert await resolver.texts("_mta-sts.shop.example") == []

        server.records += RR.fromZone('_mta-sts.shop.example. 300 IN TXT "v=STSv1; id=1;"')
        clock.now += 7.1

        assert await resolver.texts("_mta-sts.shop.example") == ["v=STSv1; id=1;"]
        await resolver.close()


async def test_an_alias_that_leads_nowhere_is_denied_no_longer_than_it_holds_itself() -> None:
    zone = "\n".join((SOA.format(ttl=600, minimum=600), "mail.shop.example. 12 IN CNAME gone.shop.example."))
    async with DnsServer(zone) as server:
        client = DnsClient(server.address, 300)

        answer = await client.ask("mail.shop.example", "A")

        assert (answer.status, answer.ttl_s) == ("no_name", 12.0)
        await client.close()


async def test_a_failure_is_asked_again_after_seconds_and_never_taken_for_a_denial() -> None:
    clock = Clock()
    zone = "\n".join((SOA.format(ttl=600, minimum=600), "shop.example. 300 IN MX 10 mx.shop.example."))
    async with DnsServer(zone) as server:
        resolver = Resolver(DnsClient(server.address, 300), clock)
        server.trouble["shop.example."] = "servfail"
        assert isinstance(await resolver.mail_hosts("shop.example"), DnsUnavailable)

        server.trouble.clear()
        clock.now += FAILURE_TTL_S

        assert await resolver.mail_hosts("shop.example") == MailHosts(((10, "mx.shop.example"),))
        await resolver.close()


async def test_a_burst_of_names_goes_out_so_many_at_a_time() -> None:
    async with DnsServer(ZONE) as server:
        resolver = Resolver(DnsClient(server.address, 2_000), Clock(), at_a_time=10)
        server.hold()

        burst = [asyncio.create_task(resolver.mail_hosts(f"n{number}.example")) for number in range(200)]
        await server.holding(10)
        await resolver.texts("not a name")  # whoever asks DNS nothing goes on
        held = server.asked.total()
        server.let_go()

        assert held == 10
        assert all(isinstance(one, NoDomain) for one in await asyncio.gather(*burst))
        await resolver.close()
