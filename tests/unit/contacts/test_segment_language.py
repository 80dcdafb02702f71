"""The language of segments: what can be said, and everything that is wrong told at once."""

from typing import Any

import jsonschema
import msgspec
import pytest

from services.contacts.segments import language
from services.contacts.segments.language import All, AnyOf, NoneOf, OnBehaviour, OnField, OnSegments
from shared.words.errors import Fault

TREE = {
    "kind": "all",
    "of": [
        {"kind": "field", "field": "postcode", "test": "begins_with", "value": "75"},
        {"kind": "any", "of": [{"kind": "operation", "was": "not_opened", "tag": "soldes"}]},
        {"kind": "none", "of": [{"kind": "behaviour", "did": "clicked", "at_least": 1, "last_days": 60}]},
        {"kind": "segment", "test": "in", "segments": [3, 4]},
        {"kind": "import", "test": "not_added", "imports": [12]},
        {"kind": "channel", "channel": "email", "test": "addressable"},
        {"kind": "activity", "at_least": 8},
    ],
}


def field(**more: Any) -> dict[str, Any]:
    return {"kind": "field", "field": "town", "test": "equals", "value": "Lille", **more}


def faults(given: object) -> list[Fault]:
    criterion, found = language.read(given)
    assert criterion is None
    return found


def test_a_tree_is_read_and_written_again_e21() -> None:
    criterion, found = language.read(TREE)

    assert found == []
    assert criterion is not None
    assert isinstance(criterion, All)
    assert criterion.of[0] == OnField("postcode", "begins_with", "75")
    assert criterion.of[2] == NoneOf([OnBehaviour("clicked", at_least=1, last_days=60)])
    assert criterion.of[3] == OnSegments("in", [3, 4])
    assert language.read(msgspec.json.decode(language.packed(criterion))) == (criterion, [])


def test_everything_that_is_wrong_is_told_at_once_with_its_path() -> None:
    given = {
        "kind": "all",
        "of": [
            {"kind": "field", "field": "town", "test": "resembles"},
            {"kind": "any", "of": []},
            {"kind": "none", "of": [{"kind": "behaviour", "did": "opened", "at_least": -1}], "name": "x"},
            {"kind": "everybody"},
            "everybody",
            {"kind": "import", "test": "added", "imports": [1, "2"]},
            {"kind": "activity", "at_least": 11},
            {"kind": "channel", "channel": "email", "test": "valid", "more": 1},
        ],
    }

    found = faults(given)

    assert [(one.at, one.what[:32]) for one in found] == [
        ("$.of[0].test", "Invalid enum value 'resembles'"),
        ("$.of[1].of", "not a list of at least one crite"),
        ("$.of[2]", "no such field; it has `kind` and"),
        ("$.of[2].of[0].at_least", "Expected `int` >= 0"),
        ("$.of[3].kind", "not one of all, any, none, field"),
        ("$.of[4]", "not an object with a `kind`, whi"),
        ("$.of[5].imports[1]", "Expected `int`, got `str`"),
        ("$.of[6].at_least", "Expected `int` <= 10"),
        ("$.of[7]", "Object contains unknown field `m"),
    ]


@pytest.mark.parametrize("given", [None, [], "all", 1, {}, {"kind": 1}, {"kind": None}, {"of": []}])
def test_what_is_no_node_is_told(given: object) -> None:
    assert [one.at for one in faults(given)] == ["$"]


@pytest.mark.parametrize("word", ["forwarded", "reading_time", "preferred_channel"])
def test_what_nobody_can_know_is_refused_and_not_guessed_e20(word: str) -> None:
    assert "not known" in faults({"kind": "operation", "was": word, "tag": "soldes"})[0].what
    assert "not known" in faults({"kind": word})[0].what


def test_a_tree_is_neither_too_deep_nor_too_large() -> None:
    deep: dict[str, Any] = field()
    for _ in range(language.MAX_DEPTH):
        deep = {"kind": "any", "of": [deep]}
    wide: dict[str, Any] = {"kind": "any", "of": [field()] * (language.MAX_NODES - 1)}

    assert language.read(deep)[1] == []
    assert language.read(wide)[1] == []
    assert "too deeply" in faults({"kind": "any", "of": [deep]})[0].what
    assert "at most 200" in faults({"kind": "any", "of": [*wide["of"], field()]})[0].what
    assert "at most 200" in faults({"kind": "any", "of": [wide, wide, wide]})[0].what


def test_every_criterion_has_its_path() -> None:
    criterion, _ = language.read({"kind": "all", "of": [field(), {"kind": "any", "of": [field(value="x")]}]})
    assert criterion is not None

    assert [at.path for at in language.walked(criterion)] == ["$.of[0]", "$.of[1].of[0]"]


def test_the_schema_takes_what_the_language_takes() -> None:
    schema = language.schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)

    assert validator.is_valid(TREE)
    assert not validator.is_valid({"kind": "everybody"})
    assert not validator.is_valid({"kind": "activity", "at_least": 11})


def test_every_field_of_the_schema_is_described() -> None:
    for name, definition in language.schema()["$defs"].items():
        for field_name, about in definition["properties"].items():
            assert field_name == "kind" or about.get("description"), f"{name}.{field_name}"


def test_at_least_one_and_none_join_as_all_does_e21() -> None:
    assert language.read({"kind": "any", "of": [field()]})[0] == AnyOf([OnField("town", "equals", "Lille")])
    assert language.read({"kind": "none", "of": [field()]})[0] == NoneOf([OnField("town", "equals", "Lille")])
