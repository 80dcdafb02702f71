"""Whom a job is sent to, where contacts decide it: what may be asked for, and what is wrong with what is not."""

import json
from typing import Any

import pytest

from shared.words import targets
from shared.words.targets import Target

CRITERIA = {"kind": "field", "field": "town", "test": "equals", "value": "Lille"}


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({"segment": 3}, Target(3)),
        ({"segment": "Paris"}, Target("Paris")),
        ({"segment": "3"}, Target("3")),
        ({"criteria": CRITERIA}, Target(None, CRITERIA)),
        ({"segment": 3, "once_per_address": True}, Target(3, None, True)),
        ({"segment": 3, "once_per_address": False}, Target(3)),
        ({"criteria": CRITERIA, "segment": None, "job": None}, Target(None, CRITERIA)),
    ],
)
def test_a_segment_is_named_by_number_or_name_and_criteria_stand_for_themselves(given: Any, found: Target) -> None:
    assert targets.is_target(given)
    assert targets.read(given) == (found, [])
    assert targets.read(json.loads(json.dumps(targets.packed(found)))) == (found, [])


@pytest.mark.parametrize("given", [{"job": "068vjfm5s9m2rc1jqqrg", "state": "opened"}, {"or": []}, [], 3, None, {}])
def test_what_names_neither_is_no_wish_for_contacts(given: Any) -> None:
    assert not targets.is_target(given)


@pytest.mark.parametrize(
    ("given", "at"),
    [
        ({"segment": 0}, "$.segment"),
        ({"segment": True}, "$.segment"),
        ({"segment": 2**31}, "$.segment"),
        ({"segment": " "}, "$.segment"),
        ({"segment": "x" * 201}, "$.segment"),
        ({"segment": [3]}, "$.segment"),
        ({"criteria": [CRITERIA]}, "$.criteria"),
        ({"criteria": CRITERIA, "segment": 3}, "$.criteria"),
        ({"segment": 3, "job": "068vjfm5s9m2rc1jqqrg"}, "$.job"),
        ({"segment": 3, "and": []}, "$.and"),
        ({"segment": 3, "once_per_address": 1}, "$.once_per_address"),
    ],
)
def test_what_does_not_fit_is_named_by_its_place(given: Any, at: str) -> None:
    found, faults = targets.read(given)

    assert found is None
    assert [fault.at for fault in faults] == [at]
