"""Addresses have one form, whatever stands unseen around them; what is none is invalid."""

from email.header import decode_header, make_header
from email.headerregistry import AddressHeader
from email.parser import HeaderParser
from email.policy import default

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.mail import addresses
from shared.mail.addresses import (
    Address,
    InvalidAddress,
    Mailbox,
    parse,
)

A_DOMAIN = ".".join(["d" * 63] * 3)


@pytest.mark.parametrize(
    ("text", "local", "domain"),
    [
        ("a@b.fr", "a", "b.fr"),
        (" a@b.fr ", "a", "b.fr"),
        ("Ana.Maria+tag@Exemple.FR", "Ana.Maria+tag", "exemple.fr"),
        ("!#$%&'*+-/=?^_`{|}~@b.fr", "!#$%&'*+-/=?^_`{|}~", "b.fr"),
        ('"a b"@b.fr', '"a b"', "b.fr"),
        ('"a@b"@b.fr', '"a@b"', "b.fr"),
        ('"a\\"b"@b.fr', '"a\\"b"', "b.fr"),
        ('"\\p\\l"@b.fr', "pl", "b.fr"),
        ('"a..b"@b.fr', '"a..b"', "b.fr"),
        ("a..b@docomo.ne.jp", '"a..b"', "docomo.ne.jp"),
        (".a@docomo.ne.jp", '".a"', "docomo.ne.jp"),
        ("a.@ezweb.ne.jp", '"a."', "ezweb.ne.jp"),
        ("..a...b..@b.fr", '"..a...b.."', "b.fr"),
        ("-a..b+c@b.fr", '"-a..b+c"', "b.fr"),
        ("ren\u00e9..x@b.fr", '"ren\u00e9..x"', "b.fr"),
        ('"plain"@b.fr', "plain", "b.fr"),
        ('"a.b"@b.fr', "a.b", "b.fr"),
        ('"' + "l" * 64 + '"@b.fr', "l" * 64, "b.fr"),
        ("rené@exemple.fr", "rené", "exemple.fr"),
        ("rene\u0301@exemple.fr", "rené", "exemple.fr"),
        ("用户@例え.テスト", "用户", "xn--r8jz45g.xn--zckzah"),
        ("a@Bücher.example", "a", "xn--bcher-kva.example"),
        ("a@faß.de", "a", "xn--fa-hia.de"),
        ("a@b。fr", "a", "b.fr"),
        ("a@xn--bcher-kva.example", "a", "xn--bcher-kva.example"),
        ("a@localhost", "a", "localhost"),
        ("a@1.2.3.4.example", "a", "1.2.3.4.example"),
        ("a@[127.0.0.1]", "a", "[127.0.0.1]"),
        ("a@[IPv6:0:0:0:0:0:0:0:1]", "a", "[IPv6:::1]"),
        ("a@[ipv6:::1]", "a", "[IPv6:::1]"),
        ("l" * 64 + "@b.fr", "l" * 64, "b.fr"),
        ("l" * 61 + "@" + A_DOMAIN + ".x", None, None),
        ("l" * 60 + "@" + A_DOMAIN + ".x", "l" * 60, A_DOMAIN + ".x"),
    ],
)
def test_an_address_has_one_form(text: str, local: str | None, domain: str | None) -> None:
    if local is None or domain is None:
        with pytest.raises(InvalidAddress):
            parse(text)
    else:
        assert parse(text) == Address(local, domain)
        assert parse(str(parse(text))) == parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "foo", "@", "a@", "@b.fr", "a@@b", "a@b@c.fr", "a b@c.fr", ".@b.fr", "...@b.fr", ". a@b.fr", "a@.fr",
        "a@b..fr", "a@b.fr.", "a@-b.fr", "a@b-.fr", "a@b_c.fr", "a@b c.fr", "a@b,fr", "a@127.0.0.1", "a@[127.0.0.1",
        "a@[300.0.0.1]", "a@[::1]", "a@[IPv6:x]", '"a@b.fr', '"a"b@b.fr', '"a""b"@b.fr', '""@b.fr', "a(x)@b.fr",
        "<a@b.fr>",
        "a@" + "d" * 64 + ".fr", "l" * 65 + "@b.fr", "é" * 33 + "@b.fr", "a@\u2603.\u200dfr", "a\u200b@b.fr",
        "a\u202eb@c.fr", "a@xn--\u00e9.fr", "a@b.\uff11\uff12", "a@b.12",
    ],
)  # fmt: skip
def test_what_is_no_address_is_merely_invalid(text: str) -> None:
    with pytest.raises(InvalidAddress):
        parse(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a@b.fr\r\nBcc: c@d.fr", "controls"), ("a\t@b.fr", "controls"), ("a\n@b.fr", "controls"),
        ("a\x00@b.fr", "controls"), ("\x00a@b.fr", "controls"), ("a@b.fr\x7f", "controls"),
        ("a@b\x7f.fr", "controls"), ("a\x85@b.fr", "controls"), ("a\u2028@b.fr", "controls"),
        ("a\ud800@b.fr", "controls"), ("\ud800" * 200, "controls"), ("a@b\x1b[1m.fr", "controls"),
        ("a" * 300 + "@b.fr", "254"),
        ("é" * 125 + "@b.fr", "254"), ("foo" * 100, "254"), ("a@" + "b." * 126 + "fr", "254"),
        ("l" * 63 + "..@b.fr", "64"),
    ],
)  # fmt: skip
def test_what_is_wrong_inside_of_an_address_is_said(text: str, why: str) -> None:
    with pytest.raises(InvalidAddress) as caught:
        parse(text)

    assert {"controls": "control characters", "254": "254 octets", "64": "64 octets"}[why] in str(caught.value)


@pytest.mark.parametrize(
    "around",
    [
        " ", "\t", "\n", "\r\n", "\x0b\x0c", "\x85", "\xa0", "\u2003", "\u202f", "\u3000", "\u2028", "\u200b",
        "\u200c\u200d",
        "\ufeff", "\u2060", "\xad", "\u200e", "\u200f", "\u202a", "\u202c", "\u2066", "\u2069", "\u180e",
        " \u200b\t\xa0 " * 300,
    ],
)  # fmt: skip
def test_what_is_unseen_around_an_address_is_dropped(around: str) -> None:
    for text in (f"{around}Ana@b.fr", f"Ana@b.fr{around}", f"{around}Ana@b.fr{around}"):
        assert parse(text) == Address("Ana", "b.fr")
        assert addresses.parse_mailbox(text) == Mailbox("", Address("Ana", "b.fr"))
    with pytest.raises(InvalidAddress):
        parse(f"An{around}a@b.fr")


def test_dots_out_of_place_make_no_other_address_than_their_quotes() -> None:
    assert parse("A..b@docomo.ne.jp").key == parse('"a..b"@DOCOMO.ne.jp').key == '"a..b"@docomo.ne.jp'


def test_the_key_ignores_case_and_the_address_keeps_it() -> None:
    address = parse("Ana@Exemple.FR")

    assert str(address) == "Ana@exemple.fr"
    assert address.key == "ana@exemple.fr"


def test_a_local_part_in_utf_8_is_flagged() -> None:
    assert parse("rené@exemple.fr").utf8
    assert not parse("rene@bücher.example").utf8


@given(st.text(max_size=40) | st.from_regex(r"[^@]{0,70}@[^@]{0,70}", fullmatch=True))
def test_whatever_comes_in_is_an_address_of_one_form_or_invalid(text: str) -> None:
    try:
        address = parse(text)
    except InvalidAddress:
        return

    assert parse(str(address)) == address
    assert str(address).isprintable()
    assert len(str(address).encode()) <= 254
    assert address.domain.isascii()


@pytest.mark.parametrize(
    ("text", "name", "address"),
    [
        ("Chouette <news@exemple.fr>", "Chouette", "news@exemple.fr"),
        ("news@exemple.fr", "", "news@exemple.fr"),
        ("<news@exemple.fr>", "", "news@exemple.fr"),
        ('"Chouette, SA" <news@exemple.fr>', "Chouette, SA", "news@exemple.fr"),
        ('"a \\"b\\" \\\\" <news@exemple.fr>', 'a "b" \\', "news@exemple.fr"),
        ("L'Été, à Paris <news@exemple.fr>", "L'Été, à Paris", "news@exemple.fr"),
    ],
)
def test_a_mailbox_is_a_name_and_an_address(text: str, name: str, address: str) -> None:
    assert addresses.parse_mailbox(text) == Mailbox(name, parse(address))


@pytest.mark.parametrize(
    "text", ["", "Chouette", "a <b@c.fr> d", "a <<b@c.fr>>", "a <>", 'a" <b@c.fr>', "a@b.fr, c@d.fr", "Ana <a@@b>"]
)
def test_what_is_no_mailbox_is_refused(text: str) -> None:
    with pytest.raises(InvalidAddress):
        addresses.parse_mailbox(text)


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("", "a@b.fr"),
        ("\r\n", "a@b.fr"),
        ("Ana", "Ana <a@b.fr>"),
        ("Ana Maria", "Ana Maria <a@b.fr>"),
        ("Ana M.", '"Ana M." <a@b.fr>'),
        ('A "b" \\', '"A \\"b\\" \\\\" <a@b.fr>'),
        ("Ana\r\nBcc: x@y.fr", '"Ana Bcc: x@y.fr" <a@b.fr>'),
        ("Zoé", "=?utf-8?B?Wm/DqQ==?= <a@b.fr>"),
    ],
)
def test_a_name_is_quoted_or_encoded_as_it_needs(name: str, header: str) -> None:
    assert addresses.format_mailbox(name, "a@b.fr") == header


@given(st.text(max_size=300), st.sampled_from(["a@b.fr", "l" * 60 + "@" + A_DOMAIN + ".x"]))
def test_a_formatted_mailbox_is_read_back_by_others(name: str, address: str) -> None:
    value = addresses.format_mailbox(name, address, len("To"))

    lines = f"To: {value}".split("\r\n")
    assert all(line[0] == " " and line.strip() for line in lines[1:])
    assert all(" " <= char <= "~" for line in lines for char in line)
    assert all(len(line) <= 76 or address in line for line in lines)
    header = HeaderParser(policy=default).parsestr(f"To: {value}\r\n\r\n")["To"]
    assert isinstance(header, AddressHeader)
    assert [read.addr_spec for read in header.addresses] == [address]
    expected = " ".join(name[:200].encode("utf-8", "replace").decode().split())
    if expected.isprintable() and "=?utf-8?" in value:
        # The address parser of older Pythons puts a blank between encoded words, against RFC 2047 section 6.2.
        phrase = value.rpartition("<")[0].strip()
        assert " ".join(str(make_header(decode_header(phrase))).split()) == expected
    elif expected.isprintable():
        assert header.addresses[0].display_name == expected


NAMES = st.one_of(
    st.text(max_size=90),
    st.sampled_from(
        ["", "Ana", "Lefèvre, Zoé", 'Bo "the" Co', "a\\b", "x" * 70, "é" * 60, "=?utf-8?q?x?=", "a\r\nBcc: x@y"]
    ),
)
MAILBOXES = st.lists(
    st.tuples(NAMES, st.sampled_from(["a@b.fr", "ana.maria@exemple.fr", '"a, b"@b.fr', "l" * 60 + "@" + A_DOMAIN])),
    min_size=1,
    max_size=50,
)


@given(MAILBOXES, st.sampled_from(["To", "Cc"]))
def test_mailboxes_of_one_field_are_read_back_by_others(mailboxes: list[tuple[str, str]], field: str) -> None:
    value = addresses.format_mailboxes(mailboxes, len(field))

    lines = f"{field}: {value}".split("\r\n")
    assert all(line[0] == " " and line.strip() for line in lines[1:])
    assert all(" " <= char <= "~" for line in lines for char in line)
    assert all(len(line) <= 76 or any(len(address) > 70 for _, address in mailboxes) for line in lines)
    assert all(len(line) <= 300 for line in lines)
    header = HeaderParser(policy=default).parsestr(f"{field}: {value}\r\n\r\n")[field]
    assert isinstance(header, AddressHeader)
    assert [read.addr_spec for read in header.addresses] == [address for _, address in mailboxes]
    for (name, _), read in zip(mailboxes, header.addresses, strict=True):
        expected = " ".join(name.encode("utf-8", "replace").decode().split())
        if expected.isprintable():
            # A blank between encoded words is a fault of the parser of older Pythons.
            assert read.display_name.replace(" ", "") == expected.replace(" ", "")


def test_a_line_has_as_many_mailboxes_as_fit() -> None:
    value = addresses.format_mailboxes([("", f"u{number:02}@exemple.fr") for number in range(9)], len("To"))

    assert value == (
        "u00@exemple.fr, u01@exemple.fr, u02@exemple.fr, u03@exemple.fr,\r\n "
        "u04@exemple.fr, u05@exemple.fr, u06@exemple.fr, u07@exemple.fr,\r\n "
        "u08@exemple.fr"
    )


@given(
    st.one_of(
        st.emails(),
        st.from_regex(r"\A[A-Za-z0-9._+-]{1,9}@[A-Za-z0-9.-]{1,12}\Z"),
        st.text(alphabet="aZ0.-_+@é ", max_size=70),
    )
)
def test_an_address_has_the_form_and_the_key_that_it_has_everywhere_however_quickly_they_are_found(text: str) -> None:
    try:
        expected = addresses.parse(text)
    except addresses.InvalidAddress:
        with pytest.raises(addresses.InvalidAddress):
            addresses.key_of(text)
        with pytest.raises(addresses.InvalidAddress):
            addresses.normal(text)
    else:
        assert addresses.key_of(text) == expected.key
        assert addresses.normal(text) == str(expected)
