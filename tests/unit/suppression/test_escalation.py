"""What soft bounces in a row come to, by examples and beside a model that remembers everything."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from services.suppression import escalation
from services.suppression.escalation import (
    BELIEVED_S,
    KEPT,
    LISTED_AS,
    NAMES,
    REPEATED_S,
    RULE_OF,
    STALE_S,
    Bounce,
    Count,
    Delivery,
    Name,
    Person,
    Rule,
    Rules,
    Seen,
    Soft,
    Step,
)
from shared.words import replies

DAY_MS = 86_400_000
BEGIN_MS = 1_700_000_000_000
RULES = Rules()


def soft(day: float, rule: Name = "soft_bounces", *, late: bool = False, event: str = "") -> Soft:
    return Soft(BEGIN_MS + round(day * DAY_MS), event or f"e{day}", rule, late)


def delivery(day: float) -> Delivery:
    return Delivery(BEGIN_MS + round(day * DAY_MS))


def person(day: float) -> Person:
    return Person(BEGIN_MS + round(day * DAY_MS))


def walk(chain: Sequence[Seen], rules: Rules = RULES, count: Count | None = None) -> list[Step]:
    """The steps of the chain, each from a count that was stored in between."""
    steps = []
    for seen in chain:
        found = escalation.step(count, seen, rules)
        count = None if found.count is None else escalation.unpack(escalation.pack(found.count))
        assert count == found.count
        steps.append(found)
    return steps


def lists(chain: Sequence[Seen], rules: Rules = RULES) -> list[tuple[int, Name]]:
    """Which of the chain list the address, and by which rule."""
    return [(place, found.lists) for place, found in enumerate(walk(chain, rules)) if found.lists is not None]


def test_five_soft_bounces_in_a_row_over_fifteen_days_list_the_address() -> None:
    assert lists([soft(0), soft(4), soft(8), soft(12), soft(15)]) == [(4, "soft_bounces")]


def test_five_within_less_than_fifteen_days_do_not_and_a_sixth_after_them_does() -> None:
    assert lists([soft(0), soft(1), soft(2), soft(3), soft(14.9), soft(15.1)]) == [(5, "soft_bounces")]


def test_four_over_a_month_do_not() -> None:
    assert lists([soft(0), soft(10), soft(20), soft(30)]) == []


@pytest.mark.parametrize("life", [delivery(13), person(13)])
def test_a_sign_of_life_takes_away_what_was_before_it(life: Seen) -> None:
    before = [soft(0), soft(4), soft(8), soft(12)]

    assert lists([*before, life, soft(16), soft(20), soft(24), soft(28)]) == []
    assert lists([*before, life, soft(16), soft(20), soft(24), soft(28), soft(32)]) == [(9, "soft_bounces")]


def test_a_bounce_that_comes_again_counts_once() -> None:
    assert lists([soft(0), soft(20), soft(20), soft(20), soft(20), soft(20)]) == []


def test_a_bounce_that_comes_again_after_a_sign_of_life_does_not_begin_a_run() -> None:
    found = walk([soft(0), delivery(1), soft(0)])

    assert found[-1].count is not None
    assert found[-1].count.bounces == ()


def test_an_address_without_a_count_gets_none_by_signs_of_life() -> None:
    assert [found.count for found in walk([delivery(0), person(1), delivery(2)])] == [None, None, None]


def test_what_is_over_is_forgotten_by_the_next_sign_of_life() -> None:
    days = REPEATED_S / 86_400

    assert walk([soft(0), delivery(1), delivery(1 + days)])[-1].count is not None
    assert walk([soft(0), delivery(1), delivery(1.1 + days)])[-1].count is None
    assert walk([soft(0), person(1), person(1.1 + days)])[-1].count is None


def test_a_full_mailbox_has_a_rule_of_its_own_and_counts_as_a_soft_bounce_too() -> None:
    full = [soft(day, "mailbox_full") for day in (0, 10, 20, 30)]

    assert lists(full) == [(3, "mailbox_full")]
    assert lists([*full[:3], soft(21), soft(22)]) == [(4, "soft_bounces")]
    assert lists([soft(day, "inactive") for day in (0, 7, 14, 16)]) == [(3, "inactive")]


def test_two_answers_that_nobody_has_that_name_make_a_hard_bounce() -> None:
    assert lists([soft(0, "unknown_user"), soft(0.5, "unknown_user"), soft(1, "unknown_user")]) == [(2, "unknown_user")]
    assert LISTED_AS["unknown_user"] == "hard_bounce"
    assert lists([soft(0, "unknown_user"), delivery(1), soft(2, "unknown_user")]) == []


def test_a_host_that_takes_each_mail_and_reports_each_as_bounced_shows_no_life() -> None:
    chain: list[Seen] = []
    for day in (0, 4, 8, 12, 16):
        chain += [delivery(day), soft(day + 0.1, late=True)]

    assert lists(chain) == [(9, "soft_bounces")]


def test_a_delivery_that_no_report_has_followed_for_five_days_stands() -> None:
    chain: list[Seen] = [soft(0, "unknown_user", late=True), delivery(1), soft(6.1, "unknown_user", late=True)]

    assert lists(chain) == []
    assert lists([chain[0], delivery(1), soft(5.9, "unknown_user", late=True)]) == [(2, "unknown_user")]


def test_who_clicks_is_there_whatever_reports_said() -> None:
    assert lists([soft(0, "unknown_user", late=True), person(1), soft(2, "unknown_user", late=True)]) == []


@pytest.mark.parametrize(
    ("rule", "days", "life", "revives"),
    [
        ("soft_bounces", (0, 4, 8, 12, 16), delivery(17), True),
        ("mailbox_full", (0, 10, 20, 30), person(31), True),
        ("inactive", (0, 8, 16), delivery(17), True),
        ("unknown_user", (0, 2), person(3), False),
        ("soft_bounces", (0, 4, 8, 12, 16), delivery(16), False),
        ("soft_bounces", (0, 4, 8, 12, 16), person(15), False),
    ],
)
def test_only_a_later_sign_of_life_revives_and_never_from_a_hard_bounce(
    rule: Name, days: tuple[float, ...], life: Seen, revives: bool
) -> None:
    found = walk([*(soft(day, rule) for day in days), life])

    assert found[-2].lists == rule
    assert found[-1].revives is revives


def test_of_reports_a_delivery_revives_nobody_and_a_click_does() -> None:
    listed = [soft(day, late=True) for day in (0, 4, 8, 12, 16)]

    assert [found.revives for found in walk([*listed, delivery(17), person(18)])][-2:] == [False, True]


def test_after_an_entry_expired_one_more_bounce_lists_again_at_once_and_a_delivery_begins_anew() -> None:
    listed = [soft(day, "mailbox_full") for day in (0, 10, 20, 30)]

    assert lists([*listed, soft(121, "mailbox_full")]) == [(3, "mailbox_full"), (4, "mailbox_full")]
    assert lists([*listed, soft(121)]) == [(3, "mailbox_full")]
    assert lists([*listed, delivery(121), soft(122, "mailbox_full")]) == [(3, "mailbox_full")]


def test_the_bounce_that_listed_says_so_again_when_it_comes_again_and_no_other_does() -> None:
    """The process may have died between the count and the list."""
    chain = [soft(day) for day in (0, 4, 8, 12, 16)]

    assert lists([*chain, chain[4], chain[3]]) == [(4, "soft_bounces"), (5, "soft_bounces")]


def test_a_rule_that_is_off_lists_nobody_and_its_bounces_are_soft_ones_still() -> None:
    off = Rules(mailbox_full=Rule(0, 0), soft_bounces=Rule(3, 1))

    assert lists([soft(day, "mailbox_full") for day in (0, 1, 2)], off) == [(2, "soft_bounces")]
    assert lists([soft(day) for day in range(10)], Rules(soft_bounces=Rule(0, 0))) == []


def test_a_run_that_nobody_has_heard_of_for_half_a_year_begins_anew() -> None:
    stale = STALE_S / 86_400

    assert lists([soft(0), soft(1), soft(2), soft(3), soft(3.1 + stale)]) == []
    assert lists([soft(0), soft(1), soft(2), soft(3), soft(2.9 + stale)]) == [(4, "soft_bounces")]


def test_a_count_that_says_nothing_any_more_is_over() -> None:
    now_ms = BEGIN_MS + 365 * DAY_MS
    counted = walk([soft(0)])[-1].count
    assert counted is not None

    assert escalation.is_over(counted, now_ms)
    assert not escalation.is_over(counted, BEGIN_MS + DAY_MS)
    assert not escalation.is_over(replace(counted, listed="soft_bounces"), now_ms)


def test_a_long_run_is_remembered_by_its_first_bounces_and_its_last() -> None:
    found = walk([soft(day / 10, event=f"e{day}") for day in range(60)], Rules(soft_bounces=Rule(7, 7)))

    assert found[-1].count is not None
    kept = found[-1].count.bounces
    assert len(kept) == KEPT
    assert kept[0].at_s == BEGIN_MS // 1000
    assert kept[1].at_s > BEGIN_MS // 1000 + 5 * 86_400


def test_the_largest_count_has_room_in_a_small_value() -> None:
    bounces = tuple(Bounce(2**32 - 1, place % len(NAMES), True, 0x1FFFFF) for place in range(KEPT))
    count = Count(bounces, 2**32 - 1, 2**32 - 1, 2**32 - 1, NAMES[-1], True)

    assert len(escalation.pack(count)) <= 64
    assert escalation.unpack(escalation.pack(count)) == count


@pytest.mark.parametrize("stored", [b"", b"\x00" * 12, b"\x00" * 14, b"\x07" + b"\x00" * 12])
def test_what_is_no_count_is_refused(stored: bytes) -> None:
    with pytest.raises(ValueError, match="not a count"):
        escalation.unpack(stored)


def test_each_reason_of_a_reply_has_its_rule() -> None:
    relay = {"unknown_outcome", "bounced_by_operator"}  # `services.relay.message.ends`
    reports = {"inactive"}

    assert set(RULE_OF) - relay - reports <= replies.REASONS
    assert escalation.rule_of("mailbox_full") == "mailbox_full"
    assert {escalation.rule_of(reason) for reason in replies.COUNTS_TOWARDS_HARD} == {"unknown_user"}
    assert escalation.rule_of("undefined") == "soft_bounces"
    assert escalation.rule_of("greylisted") is None


# The model: all facts are remembered, and each bounce is judged by looking at all of them.


class Model:
    """`listed`: by which rule, and the bounce that did it."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._seen: list[Seen] = []
        self._begin_ms = 0
        self._trigger: Soft | None = None
        self._listed: Name | None = None
        self.longest = 0

    def step(self, seen: Seen) -> tuple[Name | None, bool]:
        """The rule that lists the address at this fact, and whether it is revived."""
        self._seen.append(seen)
        if isinstance(seen, Soft):
            return self._bounced(seen), False
        return None, self._revived(seen)

    def _revived(self, seen: Delivery | Person) -> bool:
        trigger, listed = self._trigger, self._listed
        if trigger is None or listed is None or (isinstance(seen, Delivery) and trigger.late):
            return False
        self._trigger = self._listed = None
        self._begin_ms = seen.at_ms
        return LISTED_AS[listed] != "hard_bounce"

    def _bounced(self, seen: Soft) -> Name | None:
        run = [one for one in self._seen if isinstance(one, Soft) and self._stands(one, seen.at_ms)]
        self.longest = max(self.longest, len(run))
        name = self._rule_of(run, seen)
        if name is not None:
            self._trigger, self._listed, self._begin_ms = seen, name, seen.at_ms
        return name

    def _rule_of(self, run: list[Soft], seen: Soft) -> Name | None:
        if self._listed in (seen.rule, "soft_bounces"):
            return self._listed
        for name in NAMES:
            times = [one.at_ms // 1000 for one in run if name in (one.rule, "soft_bounces")]
            rule = self._rules.of(name)
            if rule.bounces and len(times) >= rule.bounces and times[-1] - times[0] >= rule.days * 86_400:
                return name
        return None

    def _stands(self, one: Soft, now_ms: int) -> bool:
        if one.at_ms < self._begin_ms:
            return False
        after = [fact for fact in self._seen if one.at_ms < fact.at_ms <= now_ms]
        if any(isinstance(fact, Person) for fact in after):
            return False
        if not one.late:
            return not any(isinstance(fact, Delivery) for fact in after)
        return not any(isinstance(fact, Delivery) and self._is_good(fact, now_ms) for fact in after)

    def _is_good(self, found: Delivery, now_ms: int) -> bool:
        until_ms = found.at_ms + BELIEVED_S * 1000
        reports = [fact.at_ms for fact in self._seen if isinstance(fact, Soft) and fact.late]
        return now_ms >= until_ms and not any(found.at_ms < at_ms < until_ms for at_ms in reports)


GAPS_S = st.integers(1, 20 * 86_400)
KINDS = st.sampled_from(["soft", "soft", "soft", "late", "late", "delivery", "person"])
SMALL_RULES = st.builds(
    Rules,
    soft_bounces=st.builds(Rule, st.integers(0, 7), st.integers(0, 20)),
    mailbox_full=st.builds(Rule, st.integers(0, 4), st.integers(0, 20)),
    inactive=st.builds(Rule, st.integers(0, 4), st.integers(0, 20)),
    unknown_user=st.builds(Rule, st.integers(0, 4), st.integers(0, 20)),
)


@st.composite
def chains(draw: Any, kinds: st.SearchStrategy[str] = KINDS) -> list[Seen]:
    at_ms = BEGIN_MS
    chain: list[Seen] = []
    for place, kind in enumerate(draw(st.lists(kinds, max_size=25))):
        at_ms += draw(GAPS_S) * 1000
        if kind == "delivery":
            chain.append(Delivery(at_ms))
        elif kind == "person":
            chain.append(Person(at_ms))
        else:
            chain.append(Soft(at_ms, f"e{place}", draw(st.sampled_from(NAMES)), kind == "late"))
    return chain


@given(chains(), SMALL_RULES)
def test_a_chain_of_facts_comes_to_what_the_model_says(chain: list[Seen], rules: Rules) -> None:
    model = Model(rules)
    expected = [model.step(seen) for seen in chain]
    assume(model.longest <= KEPT)

    found = walk(chain, rules)

    assert [(one.lists, one.revives) for one in found] == expected


@given(chains(), SMALL_RULES, st.randoms(use_true_random=False))
def test_facts_that_come_again_change_nothing(chain: list[Seen], rules: Rules, chance: Any) -> None:
    model = Model(rules)
    for seen in chain:
        model.step(seen)
    assume(model.longest <= KEPT)  # what was forgotten of a longer run counts when it comes again, and is true
    repeated: list[Seen] = []
    first: list[int] = []
    for place, seen in enumerate(chain):
        first.append(len(repeated))
        recent = [one for one in chain[: place + 1] if seen.at_ms - one.at_ms < REPEATED_S * 1000]
        repeated += [seen, *chance.sample(recent, chance.randint(0, min(3, len(recent))))]

    once, often = walk(chain, rules), walk(repeated, rules)

    assert [often[place].lists for place in first] == [one.lists for one in once]
    assert [often[place].revives for place in first] == [one.revives for one in once]
    assert [_told(often[place]) for place in first] == [_told(one) for one in once]


def _told(found: Step) -> tuple[tuple[Bounce, ...], Name | None]:
    """What counts of a count: until when bounces are taken away may be said later."""
    return (found.count.bounces, found.count.listed) if found.count is not None else ((), None)


@given(chains(), SMALL_RULES, st.randoms(use_true_random=False))
def test_in_whatever_order_facts_come_a_count_keeps_its_bounds(chain: list[Seen], rules: Rules, chance: Any) -> None:
    chance.shuffle(chain)

    for found in walk(chain, rules):
        if found.count is not None:
            assert len(escalation.pack(found.count)) <= 64
            assert list(found.count.bounces) == sorted(found.count.bounces)
