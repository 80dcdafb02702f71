"""Which hosts a message may go to, and in which order."""

from collections.abc import Mapping
from random import Random

import pytest

from services.relay.delivery.route import MAX_HOPS, MAX_HOSTS, Routes, shuffled
from services.relay.message.outcome import Bounce, outcome
from services.relay.words.hop import Hop, NoRoute
from shared.net.dns import (
    DnsUnavailable,
    MailHosts,
    NoDomain,
    NoMail,
)
from shared.net.inside import is_inside
from shared.words.sites import FixedRoute

Mail = MailHosts | NoMail | NoDomain | DnsUnavailable


def nothing(address: str) -> bool:
    """Is refused: documentation's addresses stand for the world's."""
    return False


class Names:
    """A resolver that knows one domain."""

    def __init__(self, answer: Mail, addresses: Mapping[str, list[str] | DnsUnavailable]) -> None:
        self._answer = answer
        self._addresses = addresses
        self.asked: list[str] = []

    async def mail_hosts(self, domain: str) -> Mail:
        self.asked.append(domain)
        return self._answer

    async def addresses(self, host: str) -> list[str] | DnsUnavailable:
        self.asked.append(host)
        return self._addresses.get(host, [])


async def hops(answer: Mail, addresses: Mapping[str, list[str] | DnsUnavailable], seed: int = 1) -> object:
    return await Routes(Names(answer, addresses), None, 25, Random(seed), refused=nothing).hops("example.net")


async def test_a_fixed_route_is_taken_whatever_the_domain_and_without_dns() -> None:
    names = Names(NoMail("example.net"), {})
    routes = Routes(names, FixedRoute("relay.example", 2525), 25, Random(1), refused=nothing)

    assert list(await routes.hops("example.net")) == [Hop("relay.example", 2525)]  # type: ignore[arg-type]
    assert names.asked == []


async def test_the_hosts_of_a_domain_come_by_preference_each_with_its_addresses() -> None:
    found = await hops(
        MailHosts(((10, "a.example"), (20, "b.example"))),
        {"a.example": ["192.0.2.1", "2001:db8::1"], "b.example": ["192.0.2.2"]},
    )

    assert found == [
        Hop("a.example", 25, "192.0.2.1"), Hop("a.example", 25, "2001:db8::1"), Hop("b.example", 25, "192.0.2.2"),
    ]  # fmt: skip


async def test_the_port_is_the_settings() -> None:
    routes = Routes(
        Names(MailHosts(((0, "a.example"),)), {"a.example": ["192.0.2.1"]}), None, 2525, Random(1), refused=nothing
    )

    assert await routes.hops("example.net") == [Hop("a.example", 2525, "192.0.2.1")]


def test_hosts_of_equal_preference_share_the_mail() -> None:
    hosts = [(10, "a"), (10, "b"), (10, "c"), (20, "last"), (5, "first")]
    chance = Random(1)

    orders = {tuple(shuffled(hosts, chance)) for _ in range(200)}

    assert len(orders) == 6
    assert {order[0] for order in orders} == {"first"}
    assert {order[-1] for order in orders} == {"last"}


@pytest.mark.parametrize(
    ("answer", "reason", "final"),
    [
        (NoMail("example.net"), "no_mail_host", True),
        (NoDomain("example.net", "no such name"), "no_mail_host", True),
        (DnsUnavailable("example.net", "Timeout"), "dns_unavailable", False),
    ],
)
async def test_a_domain_without_hosts_says_why_and_for_how_long(answer: Mail, reason: str, final: bool) -> None:
    found = await hops(answer, {})

    assert isinstance(found, NoRoute)
    assert (found.reason, found.final) == (reason, final)
    assert "example.net" in found.text


async def test_a_host_whose_addresses_cannot_be_had_does_not_hide_the_next() -> None:
    found = await hops(
        MailHosts(((10, "slow.example"), (20, "gone.example"), (30, "good.example"))),
        {"slow.example": DnsUnavailable("slow.example", "Timeout"), "good.example": ["192.0.2.3"]},
    )

    assert found == [Hop("good.example", 25, "192.0.2.3")]


async def test_hosts_without_any_address_are_a_temporary_failure() -> None:
    missing = await hops(MailHosts(((10, "gone.example"),)), {})
    unavailable = await hops(MailHosts(((10, "slow.example"),)), {"slow.example": DnsUnavailable("slow.example", "?")})

    assert isinstance(missing, NoRoute)
    assert (missing.reason, missing.final) == ("no_mail_host", False)
    assert isinstance(unavailable, NoRoute)
    assert (unavailable.reason, unavailable.final) == ("dns_unavailable", False)


async def test_a_domain_with_a_hundred_hosts_does_not_get_a_hundred_tries() -> None:
    hosts = MailHosts(tuple((10, f"mx{number}.example") for number in range(100)))
    names = Names(hosts, {name: ["192.0.2.1", "192.0.2.2"] for name in hosts.names})

    found = await Routes(names, None, 25, Random(1), refused=nothing).hops("example.net")

    assert not isinstance(found, NoRoute)
    assert len(found) == MAX_HOPS
    assert len(names.asked) == 1 + MAX_HOSTS


@pytest.mark.parametrize(
    ("versions", "expected"),
    [
        ((4, 6), ["192.0.2.1", "2001:db8::1", "2001:db8::2"]),
        ((4,), ["192.0.2.1"]),
        ((6,), ["2001:db8::1", "2001:db8::2"]),
    ],
)
async def test_addresses_that_there_is_no_route_for_are_not_tried(
    versions: tuple[int, ...], expected: list[str]
) -> None:
    hosts = MailHosts(((10, "a.example"), (20, "b.example")))
    names = Names(hosts, {"a.example": ["192.0.2.1", "2001:db8::1"], "b.example": ["2001:db8::2"]})

    found = await Routes(names, None, 25, Random(1), versions, refused=nothing).hops("example.net")

    assert not isinstance(found, NoRoute)
    assert [hop.address for hop in found] == expected


async def test_a_domain_that_has_only_addresses_without_a_route_is_a_temporary_failure() -> None:
    names = Names(MailHosts(((10, "a.example"),)), {"a.example": ["2001:db8::1"]})

    found = await Routes(names, None, 25, Random(1), (4,), refused=nothing).hops("example.net")

    assert found == NoRoute("connection_failed", "a.example: no route from here to 2001:db8::1", final=False)


@pytest.mark.parametrize("host", ["a.example", "127.0.0.1", "localhost", "[10.0.0.1]"])
async def test_a_host_inside_is_not_dialled_and_the_mail_loops(host: str) -> None:
    names = Names(MailHosts(((0, host),)), {host: ["10.0.0.1", "127.0.0.1", "fe80::1"]})

    found = await Routes(names, None, 25, Random(1), refused=is_inside).hops("example.net")

    assert found == NoRoute("loop", f"5.4.6 mail for example.net loops back: {host} is no host outside", final=True)
    assert outcome(found) == Bounce("soft", "loop")


async def test_what_is_inside_is_left_out_beside_what_is_outside() -> None:
    hosts = MailHosts(((0, "a.example"), (10, "b.example")))
    names = Names(hosts, {"a.example": ["0.0.0.0", "8.8.8.8"], "b.example": ["192.168.0.1"]})

    found = await Routes(names, None, 25, Random(1), refused=is_inside).hops("example.net")

    assert found == [Hop("a.example", 25, "8.8.8.8")]


async def test_it_is_not_over_while_another_host_cannot_be_looked_up() -> None:
    hosts = MailHosts(((0, "a.example"), (10, "b.example")))
    names = Names(hosts, {"a.example": ["127.0.0.1"], "b.example": DnsUnavailable("b.example", "SERVFAIL")})

    found = await Routes(names, None, 25, Random(1), refused=is_inside).hops("example.net")

    assert found == NoRoute("dns_unavailable", "b.example: SERVFAIL", final=False)


async def test_a_host_that_is_called_as_we_are_is_passed_over_and_not_looked_up() -> None:
    names = Names(MailHosts(((0, "Out1.Acme.example."), (10, "b.example"))), {"b.example": ["8.8.8.8"]})
    routes = Routes(names, None, 25, Random(1), refused=is_inside, own_names=("out1.acme.example",))

    assert await routes.hops("example.net") == [Hop("b.example", 25, "8.8.8.8")]
    assert names.asked == ["example.net", "b.example"]


async def test_a_fixed_route_inside_is_the_operators_word() -> None:
    routes = Routes(Names(NoMail("example.net"), {}), FixedRoute("127.0.0.1", 2525), 25, Random(1), refused=is_inside)

    assert await routes.hops("example.net") == (Hop("127.0.0.1", 2525),)
