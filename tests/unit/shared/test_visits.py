"""What a tenant says of its sites, and how a link carries the token of a visit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.words import ids, visits
from shared.words.tokens import InvalidToken, TokenKeys
from shared.words.visits import WebTracking, faults, host_of, page, with_token
from tests.fakes.old_tokens import unmarked

JOB = ids.new_job_id(1_750_000_000_000, b"chance", 8)
KEYS = TokenKeys(b"k" * 32)
ANA = "ana@example.fr"


@pytest.mark.parametrize(
    ("destination", "expected"),
    [
        ("https://a.fr", "https://a.fr#estafette=T"),
        ("https://a.fr/b?c=d", "https://a.fr/b?c=d#estafette=T"),
        ("https://a.fr/b#c", "https://a.fr/b?estafette=T#c"),
        ("https://a.fr/b?c=d#e", "https://a.fr/b?c=d&estafette=T#e"),
        ("https://a.fr/b?#e", "https://a.fr/b?estafette=T#e"),
        ("https://a.fr/#", "https://a.fr/?estafette=T#"),
        ("https://a.fr/#/route?x=1", "https://a.fr/?estafette=T#/route?x=1"),
    ],
)
def test_a_destination_carries_a_token(destination: str, expected: str) -> None:
    assert with_token(destination, "T") == expected


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://www.Exemple.fr:8443/a", "www.exemple.fr"),
        ("http://exemple.fr?a", "exemple.fr"),
        ("https://a@exemple.fr/", ""),
        ("ftp://exemple.fr/", ""),
        ("//exemple.fr/", ""),
        ("http://[::1", ""),
        ("", ""),
    ],
)
def test_a_page_is_on_a_host(url: str, host: str) -> None:
    assert host_of(url) == host


def test_of_a_page_neither_query_nor_fragment_is_kept() -> None:
    assert page("https://a.fr/b?token=secret#c?d") == page("https://a.fr/b#c") == "https://a.fr/b"


def test_what_a_tenant_may_say_has_no_faults() -> None:
    wanted = WebTracking((visits.site("Bücher.example"), "localhost"), ("basket", "a" * 32), ("EUR",))

    assert wanted.sites[0] == "xn--bcher-kva.example"
    assert faults(wanted) == []


@pytest.mark.parametrize(
    ("wanted", "at"),
    [
        (WebTracking(("https://a.fr", "*.a.fr", "a.fr/b", "a.fr:80", "A.fr")), [f"sites[{at}]" for at in range(5)]),
        (WebTracking(("a.fr", "a.fr")), ["sites[1]"]),
        (WebTracking(tuple(f"a{n}.fr" for n in range(51))), ["sites"]),
        (WebTracking(("a.fr",), ("Basket", "", "a-b", "1a", "a" * 33)), [f"events[{at}]" for at in range(5)]),
        (WebTracking(("a.fr",), tuple(f"e{n}" for n in range(17))), ["events"]),
        (WebTracking(("a.fr",), (), ("eur", "EURO")), ["currencies[0]", "currencies[1]"]),
    ],
)
def test_each_fault_of_a_tenants_wish_has_its_place(wanted: WebTracking, at: list[str]) -> None:
    assert [field for field, _ in faults(wanted)] == at


# The token


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_a_visit_says_whose_click_it_was_and_when(ordinal: int, clicked_s: int) -> None:
    click = KEYS.click(JOB, ordinal, "démo", ANA, 65535, "https://a.fr/")

    visit = KEYS.read(KEYS.visit(click, clicked_s))

    assert (visit.kind, visit.job, visit.ordinal, visit.tenant) == ("visit", JOB, ordinal, "démo")
    assert (visit.clicked_s, visit.mark) == (clicked_s, KEYS.read(click).mark)
    assert (visit.position, visit.destination, visit.address) == (0, "", "")


def test_a_visit_is_signed_by_the_key_of_its_click() -> None:
    old = TokenKeys(b"o" * 32)
    click = old.click(JOB, 3, "demo", ANA, 2, "https://a.fr/")

    visit = TokenKeys(b"n" * 32, [b"o" * 32]).visit(click, 7)

    assert old.read(visit).mark == old.marks("demo", ANA)[0]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        KEYS.open(JOB, 3, "demo", ANA),
        KEYS.unsubscribe(JOB, 3, "demo", ANA),
        TokenKeys(b"x" * 32).click(JOB, 3, "demo", ANA, 2, "https://a.fr/"),
        KEYS.click(JOB, 3, "demo", ANA, 2, "https://a.fr/")[:-1],
        unmarked(b"c", b"k" * 32, JOB, 3, "demo", (2, "https://a.fr/")),
    ],
)
def test_of_what_is_no_click_with_a_mark_there_is_no_visit(text: str) -> None:
    with pytest.raises(InvalidToken):
        KEYS.visit(text, 1)
