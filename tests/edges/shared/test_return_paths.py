"""Whether a name is good for return paths, as a real DNS server tells it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from shared.net import dns
from shared.net.return_paths import ReturnPathChecks, leads_to, lets_send
from tests.fakes.dns_server import DnsServer

OURS = "bounces.house.test"
HOUSE = """
    bounces.house.test. 60 IN MX 10 mx.house.test.
    bounces.house.test. 60 IN MX 20 mx2.house.test.
    bounces.house.test. 60 IN TXT "v=spf1 ip4:192.0.2.0/28 ip6:2001:db8::/64 -all"
    mx.house.test. 60 IN A 192.0.2.1
    mx2.house.test. 60 IN A 192.0.2.2
    elsewhere.test. 60 IN A 198.51.100.1
    same.test. 60 IN A 192.0.2.2
"""
NAME = "bounces.acme.test"


@asynccontextmanager
async def resolving(*records: str, house: str = HOUSE) -> AsyncIterator[tuple[dns.Resolver, DnsServer]]:
    async with DnsServer("\n".join((house, *records))) as server:
        resolver = dns.resolver(server.address, 2_000, 10, lambda: 0.0)
        try:
            yield resolver, server
        finally:
            await resolver.close()


@pytest.mark.parametrize(
    ("records", "shown"),
    [
        ((f"{NAME}. 60 IN CNAME {OURS}.",), "published"),
        ((f"{NAME}. 60 IN MX 5 mx.house.test.",), "published"),
        ((f"{NAME}. 60 IN MX 5 MX.House.Test.", f"{NAME}. 60 IN MX 9 mx2.house.test."), "published"),
        ((f"{NAME}. 60 IN MX 10 {OURS}.",), "published"),
        ((f"{NAME}. 60 IN MX 10 same.test.",), "published"),
        ((f"{NAME}. 60 IN A 192.0.2.1",), "published"),
        ((f"{NAME}. 60 IN MX 5 mx.house.test.", f"{NAME}. 60 IN MX 9 elsewhere.test."), "differs"),
        ((f"{NAME}. 60 IN MX 5 elsewhere.test.",), "differs"),
        ((f"{NAME}. 60 IN A 198.51.100.1",), "differs"),
        ((f"{NAME}. 60 IN MX 5 gone.test.",), "differs"),
        ((f"{NAME}. 60 IN MX 0 .",), "missing"),
        ((f'{NAME}. 60 IN TXT "nothing"',), "missing"),
        ((), "missing"),
    ],
)
async def test_mail_comes_to_us_if_every_host_of_it_is_ours(records: tuple[str, ...], shown: str) -> None:
    async with resolving(*records) as (resolver, _):
        judged = await leads_to(NAME, OURS, resolver)

    assert judged.dns == shown
    assert bool(judged.detail) == (shown != "published")


async def test_where_ours_has_no_mx_record_an_alias_of_it_will_do() -> None:
    house = "bounces.house.test. 60 IN A 192.0.2.1"

    async with resolving(f"{NAME}. 60 IN CNAME {OURS}.", house=house) as (resolver, _):
        assert (await leads_to(NAME, OURS, resolver)).dns == "published"


async def test_where_ours_leads_nowhere_nothing_leads_to_us() -> None:
    async with resolving(f"{NAME}. 60 IN CNAME {OURS}.", house="other.test. 60 IN A 192.0.2.1") as (resolver, _):
        assert (await leads_to(NAME, OURS, resolver)).dns == "missing"


@pytest.mark.parametrize("silent", [f"{NAME}.", f"{OURS}."])
async def test_while_dns_does_not_tell_it_is_not_known(silent: str) -> None:
    async with resolving(f"{NAME}. 60 IN MX 5 mx.house.test.") as (resolver, server):
        server.trouble[silent] = "servfail"

        assert (await leads_to(NAME, OURS, resolver)).dns == "unavailable"
        assert (await lets_send(NAME, OURS, resolver)).dns == "unavailable"


@pytest.mark.parametrize(
    ("records", "shown"),
    [
        ((f"{NAME}. 60 IN CNAME {OURS}.",), "published"),
        ((f'{NAME}. 60 IN TXT "v=spf1 include:{OURS} -all"',), "published"),
        ((f'{NAME}. 60 IN TXT "v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 -all"',), "published"),
        ((f'{NAME}. 60 IN TXT "v=spf1 ip4:192.0.2.0/24 -all"',), "differs"),
        ((f'{NAME}. 60 IN TXT "v=spf1 ip4:192.0.2.0/29 ip6:2001:db8::/32 ~all"',), "differs"),
        ((f'{NAME}. 60 IN TXT "v=spf1 -all"', f'{NAME}. 60 IN TXT "v=spf1 +all"'), "differs"),
        ((f'{NAME}. 60 IN TXT "something else"',), "missing"),
        ((), "missing"),
    ],
)
async def test_it_lets_us_send_if_it_passes_all_that_ours_does(records: tuple[str, ...], shown: str) -> None:
    async with resolving(*records) as (resolver, _):
        judged = await lets_send(NAME, OURS, resolver)

    assert judged.dns == shown
    assert bool(judged.detail) == (shown != "published")


async def test_a_check_asks_anew_and_says_when() -> None:
    async with DnsServer(HOUSE) as server:
        check = ReturnPathChecks(OURS, lambda: dns.resolver(server.address, 2_000, 10, lambda: 0.0), lambda: 1_790)
        before = await check(NAME)
        server.records += DnsServer(f"{NAME}. 60 IN CNAME {OURS}.").records
        after = await check(NAME)

    assert [one.dns for one in before] == ["missing", "missing"]
    assert [one.dns for one in after] == ["published", "published"]
    assert {one.checked_at for one in (*before, *after)} == {1_790}
