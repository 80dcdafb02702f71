"""What a tree means to a tenant: its fields, values that fit them, and circles that are refused with the way round."""

from typing import Any

import pytest

from services.contacts.segments import checking, language
from services.contacts.segments.checking import Field, Known
from services.contacts.segments.language import AnyOf, Criterion, OnActivity, OnSegments

FIELDS = {
    "town": Field(1, "text", 1),
    "age": Field(2, "number", 1),
    "born": Field(3, "date", 1),
    "status": Field(4, "choice", None),
    "interests": Field(5, "choices", None),
    "vip": Field(6, "yes_no", None),
}
KNOWN = Known(FIELDS, {})


def read(given: object) -> Criterion:
    criterion, faults = language.read(given)
    assert criterion is not None, faults
    return criterion


def told(given: dict[str, Any], known: Known = KNOWN) -> list[tuple[str, str]]:
    return [(fault.at, fault.what) for fault in checking.check(read(given), known)]


def on(field: str, test: str, **more: Any) -> dict[str, Any]:
    return {"kind": "field", "field": field, "test": test, **more}


@pytest.mark.parametrize(
    "given",
    [
        on("town", "equals", value="Lille"),
        on("town", "one_of", values=["Lille"], accents=False),
        on("email", "ends_with", value="@exemple.fr"),
        on("age", "at_least", value=18),
        on("age", "less", value=18.5),
        on("born", "before", value="2000-02-29"),
        on("born", "birthday_in_days", days=0),
        on("created_on", "in_last_days", days=7),
        on("status", "none_of", values=["Client"]),
        on("interests", "all_of", values=["vin"]),
        on("vip", "equals", value=True),
        on("vip", "differs", value="no"),
        *(on(name, test) for name in FIELDS for test in ("empty", "not_empty")),
    ],
)  # fmt: skip
def test_what_fits_a_field_passes_e24(given: dict[str, Any]) -> None:
    assert told(given) == []


@pytest.mark.parametrize(
    ("given", "at", "what"),
    [
        (on("no_such", "equals", value="x"), "$.field", "no such field"),
        (on("town", "greater", value="x"), "$.test", "a field of kind text has equals"),
        (on("status", "contains", value="x"), "$.test", "a field of kind choice has"),
        (on("status", "all_of", values=["x"]), "$.test", "a field of kind choice has"),
        (on("town", "equals"), "$.value", "required by `equals`"),
        (on("town", "equals", values=["x"]), "$.value", "required by `equals`"),
        (on("town", "empty", value="x"), "$.value", "not with `empty`"),
        (on("town", "equals", value="x", days=3), "$.days", "not with `equals`"),
        (on("born", "in_last_days", value="x"), "$.value", "not with `in_last_days`"),
        (on("town", "equals", value=""), "$.value", "empty; there is `empty`"),
        (on("town", "equals", value="a\0b"), "$.value", "has a character that no text has"),
        (on("town", "equals", value="\ud800"), "$.value", "has a character that no text has"),
        (on("town", "equals", value=7), "$.value", "not a text"),
        (on("town", "one_of", values=["a", ""]), "$.values[1]", "empty"),
        (on("age", "equals", value="7"), "$.value", "not a number"),
        (on("age", "equals", value=True), "$.value", "not a number"),
        (on("age", "equals", value=float("inf")), "$.value", "not a number"),
        (on("age", "equals", value=7, accents=False), "$.accents", "of comparisons of text alone"),
        (on("born", "equals", value="20000101"), "$.value", "not a date"),
        (on("born", "equals", value="2001-02-29"), "$.value", "not a date"),
        (on("vip", "equals", value="oui"), "$.value", "not `yes` or `no`"),
    ],
)
def test_what_does_not_fit_a_field_is_told(given: dict[str, Any], at: str, what: str) -> None:
    ((found_at, found),) = told(given)

    assert found_at == at
    assert found.startswith(what)


@pytest.mark.parametrize(
    ("given", "at"),
    [
        ({"was": "opened"}, "$.operations"),
        ({"was": "opened", "tag": "a", "url": "https://exemple.fr"}, "$.url"),
        ({"was": "opened", "tag": "a", "position": 0}, "$.position"),
        ({"was": "opened", "tag": "a", "reason": "rule"}, "$.reason"),
        ({"was": "opened", "tag": "a", "bounce": "hard"}, "$.bounce"),
        ({"was": "delivered", "tag": "a", "machines": True}, "$.machines"),
        ({"was": "clicked", "tag": "a", "url": "x", "position": 0}, "$.position"),
        ({"was": "opened", "operations": ["a"], "tag": "a"}, "$.tag"),
        ({"was": "opened", "operations": ["a", "b\0"]}, "$.operations[1]"),
        ({"was": "opened", "last_days": 3, "since": "2026-01-01T00:00:00Z"}, "$.last_days"),
        ({"was": "opened", "since": "2026-02-01T00:00:00Z", "until": "2026-01-01T00:00:00Z"}, "$.until"),
    ],
)
def test_what_does_not_fit_an_operation_is_told_e28(given: dict[str, Any], at: str) -> None:
    assert [found for found, _ in told({"kind": "operation", **given})] == [at]


@pytest.mark.parametrize(
    ("given", "at"),
    [
        ({"did": "opened"}, "$"),
        ({"did": "opened", "at_least": 1, "exactly": 2}, "$"),
        ({"did": "opened", "at_least": 1, "name": "purchase"}, "$.name"),
        ({"did": "received", "at_least": 1, "machines": True}, "$.machines"),
        ({"did": "received_marketing", "at_least": 1, "machines": True}, "$.machines"),
        ({"did": "event", "at_least": 1, "name": "\0"}, "$.name"),
    ],
)
def test_what_does_not_fit_a_behaviour_is_told_e29(given: dict[str, Any], at: str) -> None:
    assert [found for found, _ in told({"kind": "behaviour", **given})] == [at]


def test_notes_that_nobody_has_are_told() -> None:
    assert [at for at, _ in told({"kind": "activity", "at_least": 8, "at_most": 3})] == ["$.at_least"]


# Segments in segments


def using(*numbers: int) -> Criterion:
    return OnSegments("in", list(numbers))


def circles(criterion: Criterion, own: int | None, segments: dict[int, Criterion]) -> list[str]:
    return [fault.what for fault in checking.check(criterion, Known(FIELDS, segments), own)]


def test_a_segment_that_uses_itself_is_refused_with_the_way_round_e26() -> None:
    segments = {1: using(2), 2: AnyOf([OnActivity(), using(3, 4)]), 3: OnActivity(), 4: OnActivity()}

    assert circles(using(4), 4, segments) == ["a circle: 4 → 4"]
    assert circles(using(2), 4, segments) == ["a circle: 4 → 2 → 4"]
    assert circles(AnyOf([using(3), using(3, 1)]), 4, segments) == ["a circle: 4 → 1 → 2 → 4"]
    assert circles(using(1), None, segments) == []
    assert circles(using(1), 5, segments) == []


def test_a_segment_that_is_not_there_is_told_e26() -> None:
    assert checking.check(using(1, 9), Known(FIELDS, {1: OnActivity()}))[0].at == "$.segments[1]"


def test_segments_use_segments_to_a_depth_also_those_that_use_this_one() -> None:
    segments: dict[int, Criterion] = {1: OnActivity(), **{at: using(at - 1) for at in range(2, 10)}, 20: OnActivity()}

    assert circles(using(8), None, segments) == []
    assert "9 deep" in circles(using(9), None, segments)[0]
    assert "segment 9, which uses this one" in circles(using(20), 1, segments)[0]


def test_what_segments_come_to_together_has_a_limit() -> None:
    many: Criterion = AnyOf([OnActivity() for _ in range(150)])
    segments = {1: many, 2: many}

    assert circles(using(1), None, segments) == []
    assert circles(using(1, 2), None, segments) == []
    assert "criteria with those" in circles(AnyOf([using(1, 2), using(1)]), None, segments)[0]


def test_segments_that_use_each_other_in_many_ways_are_looked_at_once() -> None:
    segments: dict[int, Criterion] = {1: OnActivity()}
    for at in range(2, 9):
        segments[at] = using(*[at - 1] * 100)

    assert "criteria with those" in circles(using(*[8] * 100), None, segments)[0]
