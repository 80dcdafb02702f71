"""Which regular expressions are let loose on strangers' texts; and the quick search finds what the slow one does."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.words.patterns import (
    Patterns,
    alternatives,
    fault,
    pieces,
)
from shared.words.replies import TEXT_RULES

WORDS = [word for rule in TEXT_RULES for word in rule.words]
#: Once, for they are more than `re` remembers.
SEARCHES = [re.compile(word).search for word in WORDS]
QUICK = Patterns(WORDS)
said = ["user", "mailbox", " ", "unknown", "not", "is", "full", "1", "ip", "-", ".", "spam", "x", "(", "too many"]
texts = st.lists(st.sampled_from(said)).map("".join)
patterns = st.recursive(
    st.sampled_from(["abc", "user", "bcd", "x", r"\.", "[ab]", "[^c]", ".", r"\b", "^", "$", " "]),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=4).map("".join),
        st.lists(inner, min_size=2, max_size=3).map(lambda found: "(" + "|".join(found) + ")"),
        inner.map(lambda found: f"(?:{found})?"),
        inner.map(lambda found: f"({found}){{0,2}}"),
        inner.map(lambda found: f"({found})+"),
        inner.map(lambda found: f"(?!{found})"),
        inner.map(lambda found: f"(?<={'b'}){found}"),
        st.sampled_from(["abc?", "abcd*", "abc+", "abcd{2}", "abcd{0,3}", r"abc\.?"]),
    ),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("pattern", "what"),
    [
        ("(a", "is not a regular expression"),
        ("a{2,1}", "is not a regular expression"),
        ("Try later", "has capital letters"),
        ("[A-Z]", "has capital letters"),
        ("(a+)+b", "repeats a group"),
        ("(a|a)*b", "repeats a group"),
        ("(ab){2,}", "repeats a group"),
        (r"(a)\1", "refers back"),
        (".*a.*b.*c", "more than two repetitions without end"),
        ("a{1,200}b{300}[cd]{7,}e", "more than two repetitions without end"),
        ("", "matches every text"),
        (".*", "matches every text"),
        ("spam|", "matches every text"),
    ],
)
def test_what_is_wrong_or_slow_is_said(pattern: str, what: str) -> None:
    assert what in fault(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        r"\S+ listed",
        r"a{0,40}b{1,100}c{3}d",
        "(a|b)?c",
        "[0-9]+ of .* users",
        r"(?P<ip>[0-9.]+) is",
        r"a\+\+b",
        "[+*]{3}",
    ],
)
def test_what_is_quick_is_taken(pattern: str) -> None:
    assert fault(pattern) == ""


@pytest.mark.parametrize("pattern", WORDS)
def test_our_own_patterns_are_in_lower_case(pattern: str) -> None:
    assert "capital" not in fault(pattern)


@pytest.mark.parametrize(
    ("pattern", "needed"),
    [
        ("user unknown", ("user unknown",)),
        ("colou?r", ("colo",)),
        ("abc*def", ("def",)),
        ("abcd+e", ("abcd",)),
        ("(un|in)valid user", ("valid user",)),
        ("(unknown|invalid) id", ("unknown", "invalid")),
        ("(unknown|invalid)? users", (" users",)),
        ("(unknown|no)", ()),
        (r"5\.1\.1", ("5.1.1",)),
        (r"\[tss04\]|\[tss05\]", ("[tss04]", "[tss05]")),
        ("(?!never)abc", ("abc",)),
        ("(?i)abc", ()),
        ("ab", ()),
        ("[abc]{3}", ()),
    ],
)
def test_pieces_are_what_each_match_contains(pattern: str, needed: tuple[str, ...]) -> None:
    assert pieces(pattern) == needed


def test_alternatives_are_what_bars_outside_groups_divide() -> None:
    assert alternatives(r"a|(b|c)|[|]|\|") == ["a", "(b|c)", "[|]", r"\|"]
    assert alternatives("(?i)a|b") == ["(?i)a|b"]


@given(st.lists(patterns, min_size=1, max_size=4), st.text("abcd.x ", max_size=12))
@example(["(x|abc?)user"], "abuser")
def test_the_quick_search_finds_what_the_slow_one_does(found: list[str], text: str) -> None:
    slow = next((number for number, pattern in enumerate(found) if re.search(pattern, text)), None)

    assert Patterns(found).first(text) == slow


@given(texts)
def test_it_does_so_for_our_own_patterns(text: str) -> None:
    slow = next((number for number, search in enumerate(SEARCHES) if search(text)), None)

    assert QUICK.first(text) == slow
