"""The resolver against a DNS server on a socket."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from shared.dns import Answer, DnsClient, DnsUnavailable, MailHosts, NoDomain, NoMail, Resolver, texts
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
async def resolving(timeout_ms: int = 300) -> AsyncIterator[tuple[Resolver, DnsServer]]:
    async with DnsServer(ZONE) as server:
        resolver = Resolver(DnsClient(server.address, timeout_ms), lambda: 0.0)
        yield resolver, server
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


async def test_a_denial_that_its_zone_means_for_longer_costs_no_packet() -> None:
    async with DnsServer("long.example. 600 IN SOA ns.long.example. admin.long.example. 1 60 60 60 600") as server:
        client = DnsClient(server.address, 300)

        for _ in range(3):  # as the resolver does when its own minute is over
            assert (await client.ask("no.long.example", "MX")).status == "no_name"

        assert server.asked["no.long.example.", "MX"] == 1
        await client.close()
