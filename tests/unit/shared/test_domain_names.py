"""Which names a tenant may ask for, and how each is written."""

import pytest

from shared.mail import domain_names
from shared.mail.domain_names import InvalidDomain


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("GMAIL.com.", "gmail.com"),
        ("ＧＭＡＩＬ．com", "gmail.com"),
        ("gmail。com", "gmail.com"),
        ("gm\u00adail.com", "gmail.com"),
        ("gm\u200bail.com", "gmail.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("XN--BCHER-KVA.example", "xn--bcher-kva.example"),
        (" news.example.org ", "news.example.org"),
        # Another name than gmail.com, whatever it looks like: with a Cyrillic а.
        ("gm\u0430il.com", "xn--gmil-63d.com"),
    ],
)
def test_a_name_has_one_form_however_it_is_typed(typed: str, name: str) -> None:
    assert domain_names.normalise(typed) == name
    assert domain_names.normalise(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "", ".", "a..org", "gmail.com..", "a b.org", "a_b.org", "-a.org", "a\r\n.org", "a" * 64 + ".org", "a" * 600,
        "xn--a.com", "xn--gmail-.com", "xn--.org", "[10.0.0.1]", "[IPv6:2001:db8::1]", "::1", "a@b.org", "*.org",
        "é" * 600 + ".org",
    ],
)  # fmt: skip
def test_what_is_no_domain_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidDomain):
        domain_names.normalise(name)


@pytest.mark.parametrize(
    "name",
    [
        "com", "org", "localhost", "COM.", "10.0.0.1", "127.1", "0x7f.1", "2130706433", "co.uk", "Co.UK.", "github.io",
        "blogspot.com", "com.au", "s3.amazonaws.com", "a.ck", "kawasaki.jp", "公司.cn", "xn--55qx5d.cn", "ｃｏ.uk",
        ".".join(["a" * 60] * 4),
    ],
)  # fmt: skip
def test_what_can_be_nobodys_is_refused(name: str) -> None:
    with pytest.raises(InvalidDomain):
        domain_names.refuse_nobodys(domain_names.normalise(name))


@pytest.mark.parametrize(
    "name", ["a.localhost", "printer.local", "shop.internal", "x.onion", "a.invalid", "1.0.10.in-addr.arpa", "x.alt"]
)
def test_what_the_worlds_dns_does_not_have_is_refused_to_who_has_to_show_it(name: str) -> None:
    domain_names.refuse_nobodys(name)

    with pytest.raises(InvalidDomain):
        domain_names.refuse_reserved(name)


@pytest.mark.parametrize(
    ("name", "organisation"),
    [
        ("acme.example", "acme.example"),
        ("a.b.acme.co.uk", "acme.co.uk"),
        ("www.me.github.io", "me.github.io"),
        ("www.ck", "www.ck"),
        ("1e100.net", "1e100.net"),
        ("x.bounces.localhost", "bounces.localhost"),
        ("com", "com"),
    ],
)
def test_names_of_one_organisation_share_their_registered_domain(name: str, organisation: str) -> None:
    assert domain_names.organisation(name) == organisation


def test_who_is_above_and_below_goes_by_whole_labels() -> None:
    assert domain_names.is_below("mail.acme.example", "acme.example")
    assert not domain_names.is_below("notacme.example", "acme.example")
    assert not domain_names.is_below("acme.example", "acme.example")
    assert domain_names.is_kin("acme.example", "mail.acme.example")
    assert not domain_names.is_kin("a.acme.example", "b.acme.example")


def test_hosts_that_are_no_names_have_no_kin() -> None:
    assert domain_names.hosts("127.0.0.1", "::1", "", "localhost", "Links.Acme.example.", "links.acme.example") == (
        "links.acme.example",
    )
