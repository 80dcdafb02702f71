"""What an address has agreed to, and what follows from it."""

from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.words import consent
from shared.words.consent import NOTHING_SAID, Declared, Rules, State, Topic, change, held, is_tracked, merged

REQUIRED = Rules(gate="required", tracking="required")


def said(**answers: str) -> State:
    topics: dict[Topic, str] = {topic: answers[topic] for topic in consent.TOPICS if topic in answers}
    return change(topics, 1_800_000_000)


@pytest.mark.parametrize(
    ("stream", "rules", "declared", "state", "reason"),
    [
        # Nobody is kept from what is no marketing.
        ("transactional", REQUIRED, Declared(optin=False), said(email="no", objected="yes"), None),
        ("one_to_one", REQUIRED, Declared(), NOTHING_SAID, None),
        # As long as a tenant asks for nothing else, who said no is kept away, and nobody else.
        ("bulk", Rules(), Declared(), NOTHING_SAID, None),
        ("bulk", Rules(), Declared(optin=False), NOTHING_SAID, "not_opted_in"),
        ("bulk", Rules(), Declared(), said(email="no"), "not_opted_in"),
        ("bulk", Rules(), Declared(), said(sms="no"), None),
        # A person has to have agreed where that is asked for.
        ("bulk", REQUIRED, Declared(), NOTHING_SAID, "not_opted_in"),
        ("bulk", REQUIRED, Declared(), said(kind="person", sms="yes"), "not_opted_in"),
        ("bulk", REQUIRED, Declared(), said(email="yes"), None),
        ("bulk", REQUIRED, Declared(optin=True), said(email="no"), None),
        ("bulk", REQUIRED, Declared(optin=False), said(email="yes"), "not_opted_in"),
        # Somebody in their profession must not have objected.
        ("bulk", REQUIRED, Declared(kind="professional"), NOTHING_SAID, None),
        ("bulk", REQUIRED, Declared(), said(kind="professional"), None),
        ("bulk", REQUIRED, Declared(kind="person"), said(kind="professional"), "not_opted_in"),
        ("bulk", REQUIRED, Declared(kind="professional", optin=True), said(objected="yes"), "objected"),
        ("bulk", Rules(), Declared(optin=True), said(objected="yes"), "objected"),
        ("bulk", REQUIRED, Declared(kind="professional"), said(objected="no"), None),
    ],
)
def test_the_gate(stream: str, rules: Rules, declared: Declared, state: State, reason: str | None) -> None:
    assert held(stream, rules, declared, state) == reason


@pytest.mark.parametrize(
    ("rules", "declared", "state", "tracked"),
    [
        (Rules(), Declared(), NOTHING_SAID, True),
        (Rules(), Declared(tracking=False), said(tracking="yes"), False),
        (Rules(), Declared(tracking=True), said(tracking="no"), False),
        (Rules(), Declared(), said(tracking="no"), False),
        (REQUIRED, Declared(), NOTHING_SAID, False),
        (REQUIRED, Declared(tracking=True), NOTHING_SAID, True),
        (REQUIRED, Declared(), said(tracking="yes"), True),
        (REQUIRED, Declared(), said(tracking="unknown"), False),
    ],
)
def test_who_is_tracked(rules: Rules, declared: Declared, state: State, tracked: bool) -> None:
    assert is_tracked(rules, declared, state) is tracked


answers = st.fixed_dictionaries(
    {},
    optional={
        topic: st.sampled_from(consent.KINDS if topic == "kind" else consent.ANSWERS) for topic in consent.TOPICS
    },
)


@given(st.lists(answers, min_size=1, max_size=4))
def test_whatever_order_answers_arrive_in_the_latest_of_each_topic_holds(given_answers: list[dict[Topic, str]]) -> None:
    changes = [change(answers, 1_000 + number) for number, answers in enumerate(given_answers)]
    model = {topic: word for answers in given_answers for topic, word in answers.items()}

    for order in permutations(changes):
        state = NOTHING_SAID
        for one in order:
            state = merged(merged(state, one), one)
        for topic in consent.TOPICS:
            words: tuple[str, ...] = consent.KINDS if topic == "kind" else consent.ANSWERS
            assert words[state.said(topic).code] == model.get(topic, "unknown")


def test_of_two_answers_in_one_second_the_one_that_comes_last_holds() -> None:
    assert merged(said(tracking="yes"), said(tracking="no")).answer("tracking") == "no"


def test_a_state_that_says_everything_stays_small() -> None:
    state = State(*[1, 2**32 - 1] * len(consent.TOPICS))

    assert len(consent.encode(state)) <= 64
    assert consent.decode(consent.encode(state)) == state


@pytest.mark.parametrize("kind", [None, "person", "professional"])
@pytest.mark.parametrize("optin", [None, True, False])
@pytest.mark.parametrize("tracking", [None, True, False])
def test_what_a_job_says_waits_as_one_byte(kind: Any, optin: bool | None, tracking: bool | None) -> None:
    said = Declared(kind, optin, tracking)

    assert consent.declared(said.code) == said
    assert 0 <= said.code < 128


def test_what_a_newer_program_says_is_nothing() -> None:
    assert consent.declared(99) == Declared() == consent.declared(0)
