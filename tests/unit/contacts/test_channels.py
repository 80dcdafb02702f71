"""What a contact's state on a channel becomes, and who may be written to."""

import pytest

from services.contacts.base import channels
from services.contacts.base.channels import State, diagnosed, opposed, said, why_not


def test_e5_no_is_leaving_and_yes_brings_back_who_had_left() -> None:
    left = said(State(), optin=False)

    assert left == State(optin=False, left=True)
    assert said(left, optin=True) == State(optin=True)
    assert said(opposed(State(), is_opposed=True), optin=True) == State(optin=True)


def test_e5_not_known_any_more_changes_nothing_else() -> None:
    assert said(State(optin=False, left=True), None) == State(optin=None, left=True)


def test_e12_soft_counts_and_makes_nothing_better_that_is_hard() -> None:
    twice = diagnosed(diagnosed(State(), "soft", "452 full"), "soft")

    assert (twice.status, twice.softs, twice.diagnostic) == ("soft", 2, "452 full")
    assert diagnosed(State(status="hard"), "soft").status == "hard"


def test_e12_valid_clears_hard_and_soft_and_the_last_diagnostic_stays() -> None:
    hard = diagnosed(diagnosed(State(), "soft"), "hard", "550 5.1.1 No such user here")

    cleared = diagnosed(hard, "valid")

    assert (cleared.status, cleared.softs, cleared.diagnostic) == ("valid", 0, "550 5.1.1 No such user here")


@pytest.mark.parametrize(
    ("state", "professional", "expected"),
    [
        (State(optin=True), False, None),
        (State(), False, "no_optin"),
        (State(optin=False, left=True), False, "left"),
        (State(), True, None),
        (State(opposed=True), True, "opposed"),
        (State(opposed=True, optin=True), False, None),
        (State(optin=True, status="hard"), False, "hard"),
        (State(optin=True, status="soft"), False, None),
        (State(left=True), True, "left"),
    ],
)
def test_e6_a_person_is_addressable_who_opted_in_and_a_professional_unless_opposed(
    state: State, professional: bool, expected: channels.Reason | None
) -> None:
    assert why_not(state, has_address=True, professional=professional) == expected


def test_e6_without_an_address_nobody_is_addressable() -> None:
    assert why_not(State(optin=True), has_address=False, professional=False) == "no_address"
