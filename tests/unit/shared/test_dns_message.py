"""Questions and answers of DNS as bytes, against what dnslib and dnspython make of them."""

from contextlib import suppress

import dns.flags
import dns.message
import pytest
from dnslib import RCODE, RR, DNSRecord  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from shared.net.dns_message import (
    MAX_ALIASES,
    Malformed,
    RecordType,
    Reply,
    answers,
    question,
    read,
)

SOA = "example.net. 900 IN SOA ns.example.net. admin.example.net. 1 60 60 60 300"


def reply_to(asked: bytes, *records: str, authority: tuple[str, ...] = (), rcode: int = RCODE.NOERROR) -> bytes:
    reply = DNSRecord.parse(asked).reply()
    reply.header.rcode = rcode
    reply.add_answer(*(record for text in records for record in RR.fromZone(text)))
    reply.add_auth(*(record for text in authority for record in RR.fromZone(text)))
    return bytes(reply.pack())


def said(name: str, record_type: RecordType, *records: str, **more: object) -> Reply:
    asked = question(name, record_type, 7)
    packet = reply_to(asked, *records, **more)  # type: ignore[arg-type]
    assert answers(packet, asked)
    return read(packet, name, record_type)


@pytest.mark.parametrize("record_type", ["A", "AAAA", "MX", "TXT"])
@pytest.mark.parametrize("edns", [True, False])
def test_a_question_is_read_by_others_as_it_was_meant(record_type: RecordType, edns: bool) -> None:
    read_back = dns.message.from_wire(question("Mail._x.Example.net.", record_type, 4711, edns=edns))

    assert read_back.id == 4711
    assert read_back.flags == dns.flags.RD
    assert read_back.question[0].to_text() == f"Mail._x.Example.net. IN {record_type}"
    assert (read_back.edns, read_back.payload) == ((0, 1232) if edns else (-1, 0))


@pytest.mark.parametrize("name", ["", ".", "a..b", "x" * 64, "x." * 130, "exämple.net"])
def test_what_is_no_name_is_not_asked(name: str) -> None:
    with pytest.raises(ValueError, match=r"not a name|ascii"):
        question(name, "A", 1)


def test_records_come_with_the_least_of_their_ttls() -> None:
    assert said("example.net", "A", "example.net. 300 IN A 192.0.2.1", "example.net. 200 IN A 192.0.2.2") == Reply(
        "found", ((0, "192.0.2.1"), (0, "192.0.2.2")), 200
    )
    assert said("example.net", "AAAA", "example.net. 9 IN AAAA 2001:db8::1").rows == ((0, "2001:db8::1"),)
    assert said("example.net", "MX", "example.net. 9 IN MX 5 Mx.Example.net.").rows == ((5, "mx.example.net"),)
    assert said("example.net", "MX", "example.net. 9 IN MX 0 .").rows == ((0, ""),)
    assert said("example.net", "TXT", 'example.net. 9 IN TXT "a b" "c"').rows == ((0, "a bc"),)


def test_aliases_are_followed_and_what_nobody_asked_for_does_not_count() -> None:
    chain = ("Example.net. 50 IN CNAME b.example.", "b.example. 40 IN CNAME c.example.", "c.example. 60 IN A 192.0.2.1")

    assert said("example.net", "A", *chain, "other.example. 1 IN A 192.0.2.66") == Reply(
        "found", ((0, "192.0.2.1"),), 40
    )
    assert said("example.net", "A", "other.example. 1 IN A 192.0.2.66").status == "no_record"


def test_aliases_in_a_circle_are_no_answer() -> None:
    with pytest.raises(Malformed, match="circle"):
        said("a.example", "A", "a.example. 5 IN CNAME b.example.", "b.example. 5 IN CNAME a.example.")
    with pytest.raises(Malformed, match="too far"):
        said("n0.example", "A", *(f"n{n}.example. 5 IN CNAME n{n + 1}.example." for n in range(MAX_ALIASES + 1)))


@pytest.mark.parametrize(
    ("authority", "ttl_s"),
    [
        ((SOA,), 300),
        ((SOA.replace("900", "20"),), 20),
        ((". 900 IN SOA ns. admin. 1 60 60 60 60",), 60),
        (("other.example. 900 IN SOA ns. admin. 1 60 60 60 60",), None),
        (("ample.net. 900 IN SOA ns. admin. 1 60 60 60 60",), None),
        ((), None),
    ],
)
def test_a_denial_lives_as_long_as_its_soa_says(authority: tuple[str, ...], ttl_s: int | None) -> None:
    no_name = said("no.example.net", "MX", authority=authority, rcode=RCODE.NXDOMAIN)
    no_record = said("no.example.net", "MX", authority=authority)

    assert (no_name.status, no_name.ttl_s) == ("no_name", ttl_s)
    assert (no_record.status, no_record.ttl_s) == ("no_record", ttl_s)


def test_a_referral_is_no_denial() -> None:
    referral = said("example.net", "MX", authority=("example.net. 900 IN NS ns.example.net.",))

    assert referral.status == "failed"
    assert "does not resolve" in referral.detail


@pytest.mark.parametrize("word", ["SERVFAIL", "REFUSED", "NOTIMP", "FORMERR"])
def test_what_a_server_cannot_tell_is_a_failure_with_its_name(word: str) -> None:
    assert said("example.net", "MX", rcode=getattr(RCODE, word)) == Reply("failed", detail=word)


def test_a_reply_belongs_to_one_question() -> None:
    asked = question("example.net", "A", 7)
    record = "example.net. 9 IN A 192.0.2.66"

    assert answers(reply_to(question("eXample.NET", "A", 7), record), asked)
    assert not answers(reply_to(question("example.net", "A", 8), record), asked)
    assert not answers(reply_to(question("example.com", "A", 7), record), asked)
    assert not answers(reply_to(question("example.net", "AAAA", 7), record), asked)
    assert not answers(asked, asked)
    assert not answers(b"", asked)
    assert answers(asked[:2] + b"\x81\x81" + b"\x00" * 8, asked)  # FORMERR in a header alone
    assert not answers(asked[:2] + b"\x81\x80" + b"\x00" * 8, asked)


def test_hosts_with_odd_labels_are_none_that_a_name_could_be_taken_for() -> None:
    packet = reply_to(question("example.net", "MX", 7), "example.net. 9 IN MX 5 abcd.example.net.")

    odd = read(packet.replace(b"\x04abcd", b"\x04a.\x00\xff"), "example.net", "MX")

    assert odd.rows == ((5, "a\\046\\000\\255.example.net"),)


@given(st.binary(max_size=200))
def test_a_packet_of_chance_is_malformed_or_read(tail: bytes) -> None:
    with suppress(Malformed):
        read(question("example.net", "MX", 7)[:2] + b"\x81\x80" + tail.ljust(8, b"\x00"), "example.net", "MX")


@given(st.data())
def test_a_spoilt_answer_is_malformed_or_read(data: st.DataObject) -> None:
    packet = bytearray(
        reply_to(
            question("example.net", "MX", 7),
            "example.net. 9 IN CNAME b.example.",
            "b.example. 9 IN MX 5 mx.example.net.",
            authority=(SOA,),
        )
    )
    for _ in range(data.draw(st.integers(1, 4))):
        packet[data.draw(st.integers(3, len(packet) - 1))] = data.draw(st.integers(0, 255))
    del packet[data.draw(st.integers(12, len(packet))) :]

    with suppress(Malformed):
        read(bytes(packet), "example.net", "MX")
