"""Which hosts have to prove themselves by TLSA records, and when a host is left out instead."""

from collections.abc import Mapping

import pytest

from services.relay.encryption.dane import Dane, LeftOut, NoAnswer
from services.relay.encryption.dnssec import Answer, RecordType
from services.relay.words.tls import Tlsa, TlsPolicy

DOMAIN, HOST = "example.net", "mx.example.net"
TLSA = "_25._tcp.mx.example.net"
LEAF = Tlsa(3, 1, 1, b"x" * 32)
OF_WEB = Tlsa(1, 1, 1, b"x" * 32)
FAILED = Answer("failed", False, "", detail="SERVFAIL")

Zone = Mapping[tuple[str, RecordType], Answer]


class Resolver:
    def __init__(self, zone: Zone) -> None:
        self._zone = zone
        self.asked: list[tuple[str, RecordType]] = []

    async def ask(self, name: str, record_type: RecordType) -> Answer:
        self.asked.append((name, record_type))
        return self._zone.get((name, record_type)) or Answer("none", True, name)


def mx(*hosts: str, secure: bool = True, canonical: str = DOMAIN) -> Answer:
    return Answer("found", secure, canonical, tuple((10, host) for host in hosts))


def address(name: str = HOST, *, secure: bool = True) -> Answer:
    return Answer("found", secure, name, ((0, "192.0.2.1"),))


def tlsa(*records: Tlsa, secure: bool = True) -> Answer:
    return Answer("found", secure, TLSA, records)


SIGNED: Zone = {(DOMAIN, "MX"): mx(HOST), (HOST, "A"): address(), (TLSA, "TLSA"): tlsa(LEAF)}


async def policies(zone: Zone, *hosts: str, domain: str = DOMAIN) -> object:
    return await Dane(Resolver(zone)).policies(domain, hosts or (HOST,), 25)


def dane(*records: Tlsa, names: tuple[str, ...] = (HOST, DOMAIN)) -> TlsPolicy:
    return TlsPolicy("dane", "dane", names, records, published=tuple(record.text for record in records))


async def test_a_host_with_proven_records_of_use_has_to_prove_itself() -> None:
    assert await policies(SIGNED) == {HOST: dane(LEAF)}


async def test_the_records_are_those_of_the_port() -> None:
    resolver = Resolver(SIGNED)

    assert await Dane(resolver).policies(DOMAIN, [HOST], 2525) == {}
    assert resolver.asked[-1] == ("_2525._tcp.mx.example.net", "TLSA")


async def test_an_mx_record_that_is_not_proven_leads_to_no_dane_and_no_more_questions() -> None:
    resolver = Resolver({**SIGNED, (DOMAIN, "MX"): mx(HOST, secure=False)})

    assert await Dane(resolver).policies(DOMAIN, [HOST], 25) == {}
    assert resolver.asked == [(DOMAIN, "MX")]


async def test_a_host_that_is_not_among_the_proven_ones_is_left_out() -> None:
    found = await policies(SIGNED, "mx.forged.example", HOST)

    assert isinstance(found, dict)
    assert isinstance(found["mx.forged.example"], LeftOut)
    assert found[HOST] == dane(LEAF)


async def test_a_domain_without_mx_is_its_own_host() -> None:
    zone: Zone = {(DOMAIN, "A"): address(DOMAIN), ("_25._tcp.example.net", "TLSA"): tlsa(LEAF)}

    assert await policies(zone, DOMAIN) == {DOMAIN: dane(LEAF, names=(DOMAIN,))}


async def test_a_host_whose_address_is_not_proven_is_not_asked_for_records() -> None:
    resolver = Resolver({**SIGNED, (HOST, "A"): address(secure=False)})

    assert await Dane(resolver).policies(DOMAIN, [HOST], 25) == {}
    assert (TLSA, "TLSA") not in resolver.asked


async def test_a_host_without_ipv4_address_is_asked_for_records() -> None:
    zone: Zone = {(DOMAIN, "MX"): mx(HOST), (TLSA, "TLSA"): tlsa(LEAF)}

    assert await policies(zone) == {HOST: dane(LEAF)}


@pytest.mark.parametrize(
    ("records", "policy"),
    [
        ((OF_WEB,), TlsPolicy("required", "dane", published=(OF_WEB.text,))),
        ((OF_WEB, LEAF), TlsPolicy("dane", "dane", (HOST, DOMAIN), (LEAF,), published=(OF_WEB.text, LEAF.text))),
    ],
)
async def test_records_of_no_use_still_ask_for_encryption(records: tuple[Tlsa, ...], policy: TlsPolicy) -> None:
    assert await policies({**SIGNED, (TLSA, "TLSA"): tlsa(*records)}) == {HOST: policy}


async def test_records_that_are_not_proven_are_none() -> None:
    assert await policies({**SIGNED, (TLSA, "TLSA"): tlsa(LEAF, secure=False)}) == {}


async def test_the_order_of_records_makes_no_other_policy() -> None:
    other = Tlsa(2, 1, 1, b"y" * 32)

    assert await policies({**SIGNED, (TLSA, "TLSA"): tlsa(LEAF, other)}) == await policies(
        {**SIGNED, (TLSA, "TLSA"): tlsa(other, LEAF)}
    )


@pytest.mark.parametrize("question", [(HOST, "A"), (TLSA, "TLSA")])
async def test_a_host_that_cannot_be_looked_up_is_left_out(question: tuple[str, RecordType]) -> None:
    found = await policies({**SIGNED, question: FAILED})

    assert isinstance(found, dict)
    assert isinstance(found[HOST], LeftOut)
    assert "SERVFAIL" in found[HOST].reason


async def test_a_domain_whose_hosts_cannot_be_looked_up_is_not_guessed() -> None:
    assert await policies({**SIGNED, (DOMAIN, "MX"): FAILED}) == NoAnswer("MX of example.net: SERVFAIL")


async def test_of_an_alias_the_records_of_its_end_count_before_its_own() -> None:
    end = "_25._tcp.mx.host.example"
    zone: Zone = {**SIGNED, (HOST, "A"): address("mx.host.example"), (end, "TLSA"): tlsa(OF_WEB, LEAF)}

    found = await policies(zone)

    assert isinstance(found, dict)
    assert found[HOST].names == ("mx.host.example", DOMAIN)
    assert await policies({**zone, (end, "TLSA"): Answer("none", True, end)}) == {HOST: dane(LEAF)}


async def test_an_alias_that_is_proven_has_records_of_its_own_though_its_end_is_not() -> None:
    zone: Zone = {
        **SIGNED,
        (HOST, "A"): address("mx.host.example", secure=False),
        (HOST, "CNAME"): Answer("found", True, HOST, ((0, "mx.host.example"),)),
    }

    assert await policies(zone) == {HOST: dane(LEAF)}
    assert await policies({**zone, (HOST, "CNAME"): Answer("found", False, HOST)}) == {}
    left_out = await policies({**zone, (HOST, "CNAME"): FAILED})
    assert isinstance(left_out, dict)
    assert isinstance(left_out[HOST], LeftOut)


async def test_a_domain_that_is_an_alias_lends_its_hosts_both_names() -> None:
    found = await policies({**SIGNED, (DOMAIN, "MX"): mx(HOST, canonical="example.org")})

    assert isinstance(found, dict)
    assert found[HOST].names == (HOST, DOMAIN, "example.org")


async def test_an_address_literal_has_nothing_to_do_with_it() -> None:
    resolver = Resolver({})

    assert await Dane(resolver).policies("[192.0.2.1]", ["[192.0.2.1]"], 25) == {}
    assert resolver.asked == []
