"""The signed zone itself, as unbound sees it: what DANE and its tests may rely on."""

from collections.abc import Iterator

import dns.flags
import dns.message
import dns.rcode
import pytest

from tests.fakes.certificates import Authority
from tests.peers import signed_zone
from tests.peers.signed_zone import Served

RECORDS = (
    "signed.test. MX 10 mx1.signed.test.",
    "mx1.signed.test. A 127.0.0.25",
    "mx2.signed.test. A 127.0.0.26",
    "alias.signed.test. CNAME mx1.signed.test.",
    "_25._tcp.mx2.signed.test. TLSA 3 1 1 " + "ab" * 32,
)
PLAIN = ("plain.test", ("plain.test. MX 10 mx.plain.test.", "mx.plain.test. A 127.0.0.25"))


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with signed_zone.serving("signed.test", RECORDS, plain=PLAIN) as served:
        yield served


def is_authentic(answer: dns.message.Message) -> bool:
    return bool(answer.flags & dns.flags.AD)


def rows(answer: dns.message.Message, record_type: str) -> list[str]:
    return [row.to_text() for rrset in answer.answer for row in rrset if row.rdtype.name == record_type]


@pytest.mark.parametrize(("name", "record_type"), [
    ("signed.test.", "MX"), ("mx1.signed.test.", "A"), ("alias.signed.test.", "A"), ("signed.test.", "DNSKEY"),
])  # fmt: skip
def test_what_is_signed_is_authentic(served: Served, name: str, record_type: str) -> None:
    answer = served.unbound.ask(name, record_type)

    assert answer.rcode() == dns.rcode.NOERROR
    assert rows(answer, record_type)
    assert is_authentic(answer)


def test_a_tlsa_record_is_published_for_a_certificate_and_is_authentic(served: Served) -> None:
    certificate = Authority().issue("mx1.signed.test")

    before = served.unbound.ask("_2525._tcp.mx1.signed.test.", "TLSA")
    served.publish_tlsa("mx1.signed.test", 2525, certificate)
    answer = served.unbound.ask("_2525._tcp.mx1.signed.test.", "TLSA")

    assert (before.rcode(), is_authentic(before)) == (dns.rcode.NXDOMAIN, True)
    assert rows(answer, "TLSA") == [signed_zone.tlsa(certificate)]
    assert is_authentic(answer)


@pytest.mark.parametrize(("name", "record_type", "rcode"), [
    ("mx1.signed.test.", "AAAA", dns.rcode.NOERROR), ("nobody.signed.test.", "A", dns.rcode.NXDOMAIN),
])  # fmt: skip
def test_that_there_is_no_record_is_authentic_too(
    served: Served, name: str, record_type: str, rcode: dns.rcode.Rcode
) -> None:
    answer = served.unbound.ask(name, record_type)

    assert answer.rcode() == rcode
    assert is_authentic(answer)


def test_a_forged_record_is_not_answered_and_its_neighbours_are(served: Served) -> None:
    before = served.unbound.ask("_25._tcp.mx2.signed.test.", "TLSA")

    served.forge("_25._tcp.mx2.signed.test", "TLSA")
    after = served.unbound.ask("_25._tcp.mx2.signed.test.", "TLSA")
    neighbour = served.unbound.ask("mx2.signed.test.", "A")

    assert (before.rcode(), is_authentic(before)) == (dns.rcode.NOERROR, True)
    assert (after.rcode(), after.answer) == (dns.rcode.SERVFAIL, [])
    assert (neighbour.rcode(), is_authentic(neighbour)) == (dns.rcode.NOERROR, True)


def test_an_unsigned_zone_is_answered_without_claim_to_be_authentic(served: Served) -> None:
    answer = served.unbound.ask("plain.test.", "MX")

    assert rows(answer, "MX") == ["10 mx.plain.test."]
    assert not is_authentic(answer)


def test_what_is_published_in_the_unsigned_zone_is_answered_at_once(served: Served) -> None:
    assert served.unbound.ask("later.plain.test.", "A").rcode() == dns.rcode.NXDOMAIN

    served.publish_plain("later.plain.test. A 127.0.0.25")

    assert rows(served.unbound.ask("later.plain.test.", "A"), "A") == ["127.0.0.25"]


def test_about_the_rest_of_the_world_nobody_is_asked(served: Served) -> None:
    assert served.unbound.ask("elsewhere.example.", "A").rcode() == dns.rcode.REFUSED
