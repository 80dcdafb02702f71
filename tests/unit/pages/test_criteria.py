"""A tree of criteria on a page: in sentences, changed node by node, and as inputs that are made of the API's schema."""

from typing import Any

import msgspec
import pytest

from services.contacts.segments import language
from services.pages import criteria
from services.pages.criteria import Language, NoPlace, NoTree
from tests.fakes.api_answers import CRITERIA, SEGMENT_SCHEMA

ON_CHANNEL = {"kind": "channel", "channel": "email", "test": "addressable"}
LANGUAGE = Language(SEGMENT_SCHEMA, {"segments": {"1": "all active"}, "imports": {"12": "12 Salon"}})


def texts(tree: Any, faults: tuple[str, ...] = ()) -> list[str]:
    return [row.text for row in criteria.rows(tree, {"postcode": "Postcode"}, {1: "all active"}, faults) if row.text]


def test_a_tree_is_told_in_sentences_from_top_to_bottom() -> None:
    assert texts(CRITERIA) == [
        "ALL of these",
        "Postcode begins with 75, with accents or without",
        "mailing: not opened; tag sol<des",
        "AT LEAST ONE of these",
        "behaviour: clicked; at least 3; last days 60",
        "not in any of: all active, segment 99",
        "birthday comes round in 7 days",
        "added by import 12",
        "NONE of these",
        "sms: opted in",
        "activity rank from 8 to 10",
    ]


def test_a_fault_of_the_api_stands_at_its_criterion() -> None:
    faults = ("$.criteria.of[2].of[1].segments[1]: no such segment", "$.name: empty", "$.criteria.of[0].test: no")

    rows = criteria.rows(CRITERIA, {}, {}, faults)

    assert {row.place: row.faults for row in rows if row.faults} == {"0": ("test: no",), "2.1": ("no such segment",)}
    assert criteria.elsewhere(faults) == ("name: empty",)


def test_an_empty_group_says_so_and_what_to_do() -> None:
    rows = criteria.rows({"kind": "all", "of": []}, {}, {}, ("$.criteria.of: not a list of at least one criterion",))

    assert [(row.what, row.faults) for row in rows] == [
        ("all", ("Add a criterion to it.",)),
        ("empty", ()),
        ("end", ()),
    ]


def test_what_the_api_says_is_said_without_the_signs_of_its_language() -> None:
    node = {"kind": "behaviour", "did": "clicked"}

    (row,) = criteria.rows(node, {}, {}, ("$.criteria: exactly one of `at_least`, `at_most`, `exactly`",))

    assert row.faults == ("exactly one of “at least”, “at most”, “exactly”",)
    assert "`" not in "".join(one.said for one in LANGUAGE.inputs("operation:", {}))


def test_a_mailing_is_called_by_its_subject() -> None:
    node = {"kind": "operation", "was": "opened", "operations": ["068v", "invoice"]}

    assert (
        criteria.sentence(node, {}, {"068v": "Soldes, 2026-01-31"}) == "mailing: opened; of Soldes, 2026-01-31, invoice"
    )


def test_a_node_is_put_added_removed_and_joined_and_the_others_stay() -> None:
    tree = {"kind": "all", "of": [{"kind": "any", "of": [ON_CHANNEL]}, ON_CHANNEL]}
    other = {"kind": "activity"}

    assert criteria.put(tree, "0.0", other)["of"][0]["of"] == [other]
    assert criteria.added(tree, "0", other)["of"][0]["of"] == [ON_CHANNEL, other]
    assert criteria.removed(tree, "0.0")["of"] == [{"kind": "any", "of": []}, ON_CHANNEL]
    assert criteria.removed(tree, "") == {"kind": "all", "of": []}
    assert criteria.joined(tree, "0", "none")["of"][0]["kind"] == "none"
    assert criteria.added(ON_CHANNEL, "", other) == {"kind": "all", "of": [ON_CHANNEL, other]}
    assert tree == {"kind": "all", "of": [{"kind": "any", "of": [ON_CHANNEL]}, ON_CHANNEL]}


@pytest.mark.parametrize("place", ["1", "0.0.0", "x", "-1", "99999999999", "0..0", "\u0661"])
def test_a_place_that_is_not_there_is_told(place: str) -> None:
    with pytest.raises(NoPlace):
        criteria.put({"kind": "all", "of": [{"kind": "any", "of": [ON_CHANNEL]}]}, place, ON_CHANNEL)
    with pytest.raises(NoPlace):
        criteria.joined(ON_CHANNEL, "", "any")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        "3",
        '{"kind": 3}',
        '{"kind": "all"}',
        '{"kind": "all", "of": [3]}',
        "[" * 20_000,
        "\ud800",
        '{"kind": "all", "of": [' * 30 + "]}" * 30,
        " " * 300_000,
    ],
)
def test_what_is_no_tree_is_said(text: str) -> None:
    with pytest.raises(NoTree):
        criteria.read(text)


def test_a_tree_is_written_as_it_is_read_without_what_is_left_open() -> None:
    again = criteria.read(criteria.written(CRITERIA))

    assert language.read(again) == language.read(CRITERIA)
    assert "null" not in criteria.written(CRITERIA)


def test_all_that_the_language_has_is_offered_by_its_schema_alone() -> None:
    offered = {option.value for _, options in LANGUAGE.offered("") for option in options}

    assert offered == {
        *(f"field:{one['name']}" for one in SEGMENT_SCHEMA["fields"]),
        *(f"{kind}:" for kind in language.KINDS if kind != "field"),
    }


@pytest.mark.parametrize("kind", [kind for kind in language.LEAVES if kind != "field"])
def test_every_part_of_a_criterion_has_an_input_with_its_sentence(kind: str) -> None:
    inputs = LANGUAGE.inputs(f"{kind}:", {})

    assert [one.name for one in inputs] == [*language.LEAVES[kind].__struct_fields__]
    assert all(one.said for one in inputs)


def test_what_no_test_of_a_field_asks_for_has_no_input() -> None:
    found = {
        name: [one.name for one in LANGUAGE.inputs(f"field:{name}", {})] for name in ("postcode", "points", "tags")
    }

    assert found == {
        "postcode": ["test", "value", "values", "accents"],
        "points": ["test", "value"],
        "tags": ["test", "value", "values"],
    }
    (test, _) = LANGUAGE.inputs("field:points", {})
    assert [one.value for one in test.options] == SEGMENT_SCHEMA["tests"]["number"]


@pytest.mark.parametrize(
    ("about", "form", "node"),
    [
        ("field:postcode", {"p.test": "begins_with", "p.value": " 75 ", "p.accents": "yes"},
         {"kind": "field", "field": "postcode", "test": "begins_with", "value": "75"}),
        ("field:postcode", {"p.test": "one_of", "p.values": "a\r\n\r\n b "},
         {"kind": "field", "field": "postcode", "test": "one_of", "values": ["a", "b"], "accents": False}),
        ("field:points", {"p.test": "at_least", "p.value": "1.5"},
         {"kind": "field", "field": "points", "test": "at_least", "value": 1.5}),
        ("field:points", {"p.test": "at_least", "p.value": "many"},
         {"kind": "field", "field": "points", "test": "at_least", "value": "many"}),
        ("field:tags", {"p.test": "all_of", "p.values.vip": "yes", "p.values.a b": "yes"},
         {"kind": "field", "field": "tags", "test": "all_of", "values": ["vip", "a b"]}),
        ("field:birthday", {"p.test": "birthday_in_days", "p.days": "0"},
         {"kind": "field", "field": "birthday", "test": "birthday_in_days", "days": 0}),
        ("field:member", {"p.test": "equals", "p.value": "yes"},
         {"kind": "field", "field": "member", "test": "equals", "value": "yes"}),
        ("segment:", {"p.test": "in", "p.segments.1": "yes", "p.segments.3": "yes"},
         {"kind": "segment", "test": "in", "segments": [1, 3]}),
        ("behaviour:", {"p.did": "opened", "p.exactly": "0", "p.since": "2026-01-31T09:05"},
         {"kind": "behaviour", "did": "opened", "exactly": 0, "since": "2026-01-31T09:05:00Z"}),
        ("operation:", {"p.was": "opened", "p.match": "one", "p.tag": "a", "p.machines": "yes"},
         {"kind": "operation", "was": "opened", "tag": "a", "machines": True}),
        ("any:", {}, {"kind": "any", "of": []}),
        ("nothing:", {"p.x": "y"}, {"kind": "nothing"}),
    ],
)  # fmt: skip
def test_a_form_says_a_criterion(about: str, form: dict[str, str], node: Any) -> None:
    assert LANGUAGE.node(about, form) == node


def _form_of(about: str, node: Any) -> dict[str, str]:
    """As a browser sends the inputs that it was shown."""
    form: dict[str, str] = {}
    for one in LANGUAGE.inputs(about, node):
        if one.kind == "boxes":
            form |= {f"p.{one.name}.{option.value}": "yes" for option in one.options if option.is_chosen}
        elif one.kind == "select":
            chosen = [option.value for option in one.options if option.is_chosen]
            form[f"p.{one.name}"] = (chosen or [one.options[0].value])[0]
        elif one.kind != "checkbox" or one.value:
            form[f"p.{one.name}"] = one.value
    return form


@pytest.mark.parametrize("at", language.walked(msgspec.convert(CRITERIA, language.Criterion)), ids=lambda at: at.path)
def test_a_criterion_that_is_shown_and_sent_back_is_the_same(at: Any) -> None:
    node = msgspec.json.decode(language.packed(at.node))
    about = LANGUAGE.about(node)

    assert language.read(LANGUAGE.node(about, _form_of(about, node))) == (at.node, [])
