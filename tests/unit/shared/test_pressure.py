"""Marketing pressure, decided without anything else (M5)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.words import pressure
from shared.words.pressure import DAY_S, Rule

RULES = st.lists(st.builds(Rule, st.integers(1, 100), st.integers(1, 366)), max_size=5)


@given(sent_s=st.lists(st.integers(0, 30 * DAY_S)), days=st.integers(1, 10), now_s=st.integers(0, 40 * DAY_S))
def test_what_counts_under_a_rule_is_what_was_sent_in_its_days_to_the_second(
    sent_s: list[int], days: int, now_s: int
) -> None:
    window = range(now_s - days * DAY_S + 1, now_s + 1)

    assert pressure.used([at_s for at_s in sent_s if at_s <= now_s], Rule(1, days), now_s) == sum(
        at_s in window for at_s in sent_s
    )


@given(RULES)
def test_rules_stand_in_the_order_of_their_days_and_mails_are_remembered_for_the_longest(rules: list[Rule]) -> None:
    ordered = pressure.ordered(rules)

    assert {*ordered} == {*rules}
    assert [rule.days for rule in ordered] == sorted(rule.days for rule in rules)
    assert pressure.longest_s(rules) == (ordered[-1].days * DAY_S if rules else 0)


def test_a_number_of_days_has_one_rule() -> None:
    found = pressure.faults([Rule(2, 1), Rule(5, 7), Rule(3, 1), Rule(9, 7)])

    assert [fault.at for fault in found] == ["$.rules[2].days", "$.rules[3].days"]


@given(first=st.integers(0, 2**48 - 1), ordinals=st.sets(st.integers(0, 50_000_000), min_size=2))
def test_messages_of_a_job_have_marks_of_their_own(first: int, ordinals: set[int]) -> None:
    marks = {pressure.mark(first, ordinal) for ordinal in ordinals}

    assert len(marks) == len(ordinals)
    assert {len(mark) for mark in marks} == {pressure.MARK_BYTES}


@given(first=st.integers(0, 2**48 - 1), ordinal=st.integers(0, 50_000_000))
def test_a_mark_tells_which_message_of_its_job_it_is_of(first: int, ordinal: int) -> None:
    assert pressure.ordinal(first, pressure.mark(first, ordinal)) == ordinal


def test_what_is_no_mails_is_refused() -> None:
    with pytest.raises(ValueError, match="no mails"):
        pressure.sent_s(b"123")
