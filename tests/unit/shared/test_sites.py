"""Which domains share a queue, and which must not."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from shared.words.sites import (
    MAX_SITE_CHARS,
    PROVIDERS,
    FixedRoute,
    Provider,
    parse_route,
    provider_name,
    site_name,
)

labels = st.text("abc12-", min_size=1, max_size=4).filter(lambda label: not label.startswith("-"))
hosts = st.lists(labels, min_size=1, max_size=5).map(".".join)


@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda provider: provider.name)
def test_each_named_provider_is_known_by_its_own_hosts(provider: Provider) -> None:
    assert provider_name(provider.example) == provider.name
    assert site_name(provider.example) == provider.name
    for host in provider.example:
        assert site_name([host.upper() + "."]) == provider.name


def test_the_domains_of_one_provider_share_one_queue_though_each_has_its_own_host() -> None:
    contoso = site_name(["contoso-com.mail.protection.outlook.com"])
    fabrikam = site_name(["fabrikam-com.mail.protection.outlook.com"])

    assert contoso == fabrikam == "microsoft365"


def test_a_domain_belongs_to_a_named_provider_only_if_all_its_hosts_do() -> None:
    mixed = ["aspmx.l.google.com", "backup.example.net"]

    assert provider_name(mixed) is None
    assert site_name(mixed) == "(aspmx.l.google.com|backup.example.net)"


def test_hosts_of_two_providers_make_neither() -> None:
    assert provider_name(["mx1.qq.com", "mx1.free.fr"]) is None


@pytest.mark.parametrize(
    "host",
    [
        "evilmail.protection.outlook.com.example.net", "xsmtp-in.orange.fr", "c-1-2-3-4.hsd1.ca.comcast.net",
        "wal59-h01-192-0-2-1.dsl.sta.abo.bbox.fr", "bbox.fr", "evilbbox.fr", "ip-192-0-2-1.rev.numericable.fr",
        "vps-1.vps.ovh.net", "ns1.ovh.net", "ess.barracudanetworks.com.example.net", "mx.163.com.example.net",
    ],
)  # fmt: skip
def test_a_name_that_only_looks_like_a_provider_is_none(host: str) -> None:
    assert provider_name([host]) is None


@pytest.mark.parametrize(
    ("hosts", "site"),
    [
        (["gmail-smtp-in.l.google.com", "alt1.gmail-smtp-in.l.google.com"], "gmail"),
        (["smtp.google.com"], "gmail"),
        (["hotmail-com.olc.protection.outlook.com"], "outlook.com"),
        (["contoso-com.o-v1.mx.microsoft"], "microsoft365"),
        (["mx-aol.mail.gm0.yahoodns.net"], "yahoo"),
        (["mx-eu.mail.am0.yahoodns.net"], "yahoo"),
        (["smtp-in.sfr.fr"], "sfr"),
        (["mx-ha02.web.de", "mx-ha03.web.de"], "gmx"),
        (["mx00.mail.com", "mx01.mail.com"], "gmx"),
        (["mxa-00360101.gslb.pphosted.com", "mxb-00360101.gslb.pphosted.com"], "proofpoint"),
        (["d315805.a.ess.de.barracudanetworks.com", "d315805.b.ess.de.barracudanetworks.com"], "barracuda"),
        (["mx1.ovh.net", "mx2.ovh.net", "mxb.ovh.net"], "ovh"),
        (["mxint01.1and1.com", "mxint02.1and1.com"], "ionos"),
        (["mxbiz1.qq.com", "mxbiz2.qq.com"], "qq"),
        (["qiye163mx01.mxmail.netease.com", "qiye163mx02.mxmail.netease.com"], "163"),
        (["mx.ym.163.com"], "163"),
    ],
)
def test_sets_seen_in_dns_belong_to_their_provider(hosts: list[str], site: str) -> None:
    assert site_name(hosts) == site


def test_the_providers_of_the_documentation_are_there() -> None:
    names = {provider.name for provider in PROVIDERS}

    assert names >= {
        "gmail", "outlook.com", "microsoft365", "yahoo", "icloud", "orange", "free", "sfr", "laposte", "bouygues",
        "gmx", "comcast", "mimecast", "proofpoint", "barracuda", "ovh", "ionos", "qq", "163",
    }  # fmt: skip


def test_no_host_belongs_to_two_providers() -> None:
    hosts = [host for provider in PROVIDERS for host in provider.hosts]

    assert len(hosts) == len(set(hosts))
    for provider in PROVIDERS:
        for host in provider.hosts:
            assert provider_name([f"mx{host.lstrip('*')}" if host[0] in "*." else host]) == provider.name, host


def test_a_host_called_like_a_provider_does_not_enter_its_queue() -> None:
    assert site_name(["outlook.com"]) == "outlook.com."
    assert site_name(["gmail"]) == "gmail."


def test_the_common_end_is_written_once() -> None:
    assert site_name(["mx2.example.net", "mx1.example.net"]) == "(mx1|mx2).example.net"
    assert site_name(["mx.example.net"]) == "mx.example.net"
    assert site_name(["alt1.in.example.net", "in.example.net"]) == "(alt1)?.in.example.net"
    assert site_name(["mx.example.net", "mx.example.org"]) == "(mx.example.net|mx.example.org)"


def test_order_case_repetition_and_the_final_dot_do_not_matter() -> None:
    assert site_name(["B.example.net.", "a.example.net", "a.EXAMPLE.net"]) == site_name(
        ["a.example.net", "b.example.net"]
    )


def test_crossed_labels_do_not_make_two_sets_one() -> None:
    assert site_name(["mx.a.com", "mx.b.net"]) != site_name(["mx.a.net", "mx.b.com"])


def test_a_long_set_is_shortened_by_a_digest_and_stays_its_own() -> None:
    many = [f"mail-in-{number:03}.example.net" for number in range(40)]

    name = site_name(many)

    assert len(name) <= MAX_SITE_CHARS
    assert name.endswith(".example.net")
    assert name != site_name(many[1:])


def test_a_single_host_of_greatest_length_is_shortened_too() -> None:
    longest = ".".join(["x" * 63, "y" * 63, "z" * 63, "w" * 57])

    assert len(site_name([longest])) <= MAX_SITE_CHARS


def test_no_hosts_are_no_site() -> None:
    with pytest.raises(ValueError, match="at least one host"):
        site_name([])


@given(st.sets(hosts, min_size=1, max_size=6), st.sets(hosts, min_size=1, max_size=6))
def test_different_sets_have_different_names(one: set[str], other: set[str]) -> None:
    assert (site_name(sorted(one)) == site_name(sorted(other))) == (one == other)


@given(st.lists(st.text("abcdefgh.", min_size=1, max_size=253), min_size=1, max_size=8))
def test_names_are_never_too_long(names: list[str]) -> None:
    named = [name for name in names if name.strip(".")]
    assume(named)

    assert len(site_name(named)) <= MAX_SITE_CHARS


def test_a_route_is_the_mailbox_a_host_or_the_domain() -> None:
    assert parse_route("mailbox", "127.0.0.1", 2526) == FixedRoute("127.0.0.1", 2526)
    assert parse_route("mailbox", "0.0.0.0", 2526) == FixedRoute("127.0.0.1", 2526)
    assert parse_route("smtp://relay.example.net:587", "", 0) == FixedRoute("relay.example.net", 587)
    assert parse_route("smtp://relay.example.net", "", 0) == FixedRoute("relay.example.net", 25)
    assert parse_route("smtp://[::1]:2525", "", 0) == FixedRoute("::1", 2525)
    assert parse_route("mx", "", 0) is None


@pytest.mark.parametrize(
    "text",
    [
        "", "MX", "smtp://", "smtp://:25", "smtp://host:port", "smtp://host:99999", "smtp://host:0", "http://host:25",
        "host:25", "smtp://user:secret@host:25", "smtp://host:25/path", "smtp://host:25?x=1", "smtp://[::1",
    ],
)  # fmt: skip
def test_what_is_no_route_is_refused_in_words(text: str) -> None:
    with pytest.raises(ValueError, match=r"a route is `mailbox`, `mx` or `smtp://host:port`"):
        parse_route(text, "127.0.0.1", 2526)


def test_a_fixed_route_is_one_site() -> None:
    assert FixedRoute("127.0.0.1", 2526).site == "route:127.0.0.1:2526"
    assert FixedRoute("::1", 25).site == "route:[::1]:25"
