"""The policy that holds for a domain, found by walking up the tree, against zones as data."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.mail import dmarc
from shared.mail.dmarc import Texts

NOW_MS = 1_790_000_000_000


def zone(**records: str | list[str] | None) -> dict[str, list[str] | None]:
    """By name, with `__` for a dot."""
    found: dict[str, list[str] | None] = {}
    for name, said in records.items():
        found[f"_dmarc.{name.replace('__', '.')}"] = [said] if isinstance(said, str) else said
    return found


@pytest.mark.parametrize(
    ("domain", "asked"),
    [
        ("example.fr", ["example.fr", "fr"]),
        ("a.b.c.d.e.f.fr", ["a.b.c.d.e.f.fr", "b.c.d.e.f.fr", "c.d.e.f.fr", "d.e.f.fr", "e.f.fr", "f.fr", "fr"]),
        # Eight labels and more: after the name itself its last seven.
        ("a.b.c.d.e.f.g.fr", ["a.b.c.d.e.f.g.fr", "b.c.d.e.f.g.fr", "c.d.e.f.g.fr", "d.e.f.g.fr", "e.f.g.fr", "f.g.fr",
                              "g.fr", "fr"]),
        ("x.y.z.a.b.c.d.e.f.fr", ["x.y.z.a.b.c.d.e.f.fr", "a.b.c.d.e.f.fr", "b.c.d.e.f.fr", "c.d.e.f.fr", "d.e.f.fr",
                                  "e.f.fr", "f.fr", "fr"]),
    ],
)  # fmt: skip
def test_the_walk_goes_up_and_asks_eight_times_at_most(domain: str, asked: list[str]) -> None:
    assert dmarc.walk(domain) == asked


@given(st.lists(st.sampled_from(["a", "bc", "d-e"]), min_size=1, max_size=120).map(".".join))
def test_no_name_is_asked_for_more_than_eight_records(domain: str) -> None:
    assert len(dmarc.walk(domain)) <= dmarc.MAX_QUERIES
    assert dmarc.walk(domain)[-1] == domain.rpartition(".")[2]


@pytest.mark.parametrize(
    ("domain", "texts", "of", "policy", "organisation"),
    [
        ("example.fr", zone(example__fr="v=DMARC1; p=reject"), "example.fr", "reject", "example.fr"),
        # Its own record, whatever is above.
        ("news.example.fr", zone(news__example__fr="v=DMARC1; p=none", example__fr="v=DMARC1; p=reject"),
         "news.example.fr", "none", "example.fr"),
        # That of the organisation, for what is below it.
        ("news.example.fr", zone(example__fr="v=DMARC1; p=reject; sp=quarantine"), "example.fr", "quarantine",
         "example.fr"),
        ("a.news.example.fr", zone(example__fr="v=DMARC1; p=reject"), "example.fr", "reject", "example.fr"),
        # Not that of a name between, which is neither.
        ("a.news.example.fr", zone(news__example__fr="v=DMARC1; p=none", example__fr="v=DMARC1; p=reject"),
         "example.fr", "reject", "example.fr"),
        # An organisation ends where psd=n says so.
        ("a.news.example.fr", zone(news__example__fr="v=DMARC1; p=none; psd=n", example__fr="v=DMARC1; p=reject"),
         "news.example.fr", "none", "news.example.fr"),
        # A registry's: the organisation is below it, and has no record of its own.
        ("news.shop.bank", zone(bank="v=DMARC1; p=reject; sp=quarantine; psd=y"), "bank", "quarantine", "shop.bank"),
        ("news.shop.bank", zone(shop__bank="v=DMARC1; p=none", bank="v=DMARC1; p=reject; psd=y"), "shop.bank", "none",
         "shop.bank"),
        # psd=y at the name itself does not make the name above it the organisation's.
        ("gov.example", zone(gov__example="v=DMARC1; p=none; psd=y"), "gov.example", "none", "gov.example"),
        # A policy that cannot be read, with reports asked for, is none.
        ("example.fr", zone(example__fr="v=DMARC1; rua=mailto:d@example.fr"), "example.fr", "none", "example.fr"),
        ("news.example.fr", zone(), None, "", "news.example.fr"),
        ("example.fr", zone(example__fr="v=DMARC12; p=reject"), None, "", "example.fr"),
        ("example.fr", zone(example__fr=["v=DMARC1; p=none", "v=DMARC1; p=reject"]), None, "", "example.fr"),
        ("news.example.fr", zone(news__example__fr=["v=DMARC1", "v=DMARC1"], example__fr="v=DMARC1; p=none"),
         "example.fr", "none", "example.fr"),
    ],
)  # fmt: skip
def test_the_policy_is_the_names_own_or_its_organisations_or_its_registrys(
    domain: str, texts: Texts, of: str | None, policy: str, organisation: str
) -> None:
    found = dmarc.discover(domain, texts)

    assert (found.record.of if found.record else None, found.policy, found.organisation) == (of, policy, organisation)


@pytest.mark.parametrize(
    ("identifier", "strictness", "aligned"),
    [
        ("news.example.fr", "s", True),
        ("bounces.news.example.fr", "s", False),
        ("bounces.news.example.fr", "r", True),
        ("example.fr", "r", True),
        ("bounces.example.fr", "r", True),
        ("badexample.fr", "r", False),
        ("bounces.acme.example", "r", False),
    ],
)
def test_relaxed_is_of_one_organisation_and_strict_the_very_name(
    identifier: str, strictness: dmarc.Strictness, aligned: bool
) -> None:
    assert dmarc.is_aligned(identifier, "news.example.fr", strictness, "example.fr") is aligned


@pytest.mark.parametrize(
    ("texts", "dns", "said"),
    [
        (zone(news__example__fr="v=DMARC1; p=none"), "published", ""),
        (zone(example__fr="v=DMARC1; p=reject"), "published", "the policy of example.fr holds: reject"),
        (zone(news__example__fr="v=DMARC1; p=reject; t=y"), "published", "on trial"),
        (zone(news__example__fr="v=DMARC1; p=none; aspf=s"), "published", "SPF of bounces.example.fr does not count"),
        (zone(news__example__fr="v=DMARC1; p=perhaps"), "differs", "neither none, quarantine nor reject"),
        (zone(news__example__fr=["v=DMARC1; p=none", "v=DMARC1; p=none"]), "differs", "several policies"),
        (zone(), "missing", "publish one"),
        (zone(news__example__fr=None), "unavailable", "_dmarc.news.example.fr"),
        (zone(example__fr=None), "unavailable", "_dmarc.example.fr"),
        (zone(news__example__fr="v=DMARC1; p=none; psd=n", example__fr=None), "published", "does not count"),
    ],
)
def test_what_is_wrong_is_named(texts: Texts, dns: str, said: str) -> None:
    check = dmarc.judge("news.example.fr", "bounces.example.fr", texts, NOW_MS)

    assert check.dns == dns
    assert said in check.detail


@given(
    st.dictionaries(st.sampled_from(["_dmarc.a.b", "_dmarc.b"]), st.none() | st.lists(st.text(max_size=60), max_size=3))
)
def test_whatever_stands_there_there_is_an_answer(texts: Texts) -> None:
    assert dmarc.judge("a.b", "", texts, NOW_MS).checked_at == NOW_MS
