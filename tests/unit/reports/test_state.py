"""The state of a message and the figures that follow from it."""

import itertools
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.reports.state import ACCEPTED, CODES, Code, State, after, code_of, tally, transitions, word
from shared.words import events

COMMON: dict[str, Any] = {"event_id": "e", "occurred_at": 1, "tenant": "t", "job": "j", "ordinal": 0}
ENDS = [
    Code.DELIVERED, Code.BOUNCED_HARD, Code.BOUNCED_SOFT, Code.BOUNCED_BLOCK, Code.EXPIRED, Code.SUPPRESSED,
    Code.REJECTED,
]  # fmt: skip


def through(*codes: Code) -> int:
    byte = 0
    for code in codes:
        byte = after(byte, code)
    return byte


@pytest.mark.parametrize("accepted", range(4))
def test_when_the_acceptance_is_told_makes_no_difference(accepted: int) -> None:
    codes = [Code.DEFERRED, Code.DELIVERED, Code.LATE_HARD]
    codes.insert(accepted, Code.ACCEPTED)

    assert through(*codes) == State.LATE_HARD | ACCEPTED


def test_the_first_end_stays() -> None:
    for first, second in itertools.product(ENDS, ENDS):
        assert through(first, second) == through(first)


def test_no_message_goes_back_to_waiting() -> None:
    for end in ENDS:
        assert through(end, Code.DEFERRED) == through(end)


def test_only_what_was_delivered_or_has_no_end_bounces_late() -> None:
    assert through(Code.DELIVERED, Code.LATE_SOFT) == State.LATE_SOFT
    assert through(Code.DEFERRED, Code.LATE_BLOCK) == State.LATE_BLOCK
    assert through(Code.LATE_HARD, Code.DELIVERED) == State.LATE_HARD
    assert through(Code.LATE_SOFT, Code.LATE_HARD) == State.LATE_SOFT
    assert through(Code.EXPIRED, Code.LATE_HARD) == State.EXPIRED


@pytest.mark.parametrize("code", [Code.OPENED, Code.CLICKED, Code.COMPLAINED, Code.UNSUBSCRIBED, Code.AUTO_REPLIED])
def test_what_readers_do_changes_no_state(code: Code) -> None:
    for state in State:
        assert after(state, code) == state


def test_the_table_for_scripts_says_the_same() -> None:
    table = transitions()

    assert len(table) == len(State) * CODES
    for state, code in itertools.product(State, Code):
        if code != Code.ACCEPTED:
            assert table[state * CODES + code] == after(state, code)
            assert after(state | ACCEPTED, code) == table[state * CODES + code] | ACCEPTED


@pytest.mark.parametrize(
    ("fact", "code"),
    [
        (events.Bounced(**COMMON, kind="hard"), Code.BOUNCED_HARD),
        (events.Bounced(**COMMON, kind="block", late=True), Code.LATE_BLOCK),
        (events.Bounced(**COMMON, kind="of another version"), Code.BOUNCED_SOFT),
        (events.Opened(**COMMON), Code.OPENED),
        (events.Opened(**COMMON, machine="proxy"), Code.MACHINE_OPENED),
        (events.Clicked(**COMMON, machine="scanner"), Code.MACHINE_CLICKED),
        (events.Reactivated(**COMMON), None),
    ],
)
def test_a_fact_has_a_code(fact: events.Fact, code: Code | None) -> None:
    assert code_of(fact) == code


def test_every_fact_about_a_message_has_a_code() -> None:
    without = [name for name, fact in events.FACTS.items() if code_of(fact(**COMMON)) is None]

    assert without == [
        "Reactivated",
        "Stopped",
        "Resumed",
        "Warned",
        "Acted",
        "Erased",
        "OptedIn",
        "PreferencesChanged",
        "RetentionNear",
        "WebhookDisabled",
        "Finished",
        "DomainChecked",
        "AddressStated",
        "ContactAdded",
        "ContactUpdated",
        "ActivityRanked",
        "ContactAtRisk",
    ]


def test_each_state_has_a_word() -> None:
    assert word(0) == "waiting"
    assert word(ACCEPTED) == "accepted"
    assert {word(state | ACCEPTED) for state in State} == {
        "accepted", "deferred", "delivered", "bounced", "expired", "failed", "suppressed", "rejected",
        "cancelled",
    }  # fmt: skip


@given(st.lists(st.lists(st.sampled_from(Code), min_size=1), max_size=50))
def test_the_figures_add_up_for_any_facts(lives: list[list[Code]]) -> None:
    messages = [through(*codes) for codes in lives]
    known = [byte for byte in messages if byte]

    figures = tally(Counter(known))

    never = figures.at_queueing + figures.cancelled_at_queueing + figures.rejected
    assert figures.accepted + never == len(known)
    assert figures.ended + figures.pending == len(known)
    assert figures.late <= figures.bounced
    assert min(figures) >= 0
