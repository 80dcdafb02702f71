"""A tree becomes one statement whose text has nothing of what a tenant wrote."""

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contacts.segments import checking, language
from services.contacts.segments.checking import Field, Known
from services.contacts.segments.compiling import Statement, compiled

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
#: A field may be called anything as far as SQL goes.
HOSTILE = "x' or 1=1; drop table contacts; --"
KNOWN = Known(
    {
        HOSTILE: Field(1, "text", 3),
        "number": Field(2, "number", 1),
        "date": Field(3, "date", 1),
        "choices": Field(4, "choices", None),
    },
    {},
)
PLAIN = "plain"


def statement(given: object, known: Known = KNOWN) -> Statement:
    criterion, faults = language.read(given)
    assert criterion is not None, faults
    assert checking.check(criterion, known) == []
    return compiled(7, criterion, known, NOW).members()


def trees(text: str) -> list[dict[str, Any]]:
    """Every place in which a tenant writes a text of their own."""
    field = {"kind": "field", "field": HOSTILE}
    operation = {"kind": "operation", "was": "clicked"}
    return [
        *({**field, "test": test, "value": text} for test in checking.TESTS["text"] if test in ("equals", "differs")),
        *({**field, "test": test, "value": text} for test in checking.TESTS["text"] if test.endswith(("with", "ns"))),
        {**field, "test": "equals", "value": text, "accents": False},
        {**field, "test": "one_of", "values": [text, text + text]},
        {"kind": "field", "field": "choices", "test": "equals", "value": text},
        {"kind": "field", "field": "choices", "test": "all_of", "values": [text]},
        {"kind": "field", "field": "email", "test": "contains", "value": text},
        {**operation, "operations": [text]},
        {**operation, "match": "all", "operations": [text]},
        *({**operation, name: text} for name in ("tag", "category", "operation_kind")),
        {**operation, "match": "all", "tag": text},
        {**operation, "tag": text, "url": text},
        {"kind": "operation", "was": "not_clicked", "tag": text, "url": text},
        {"kind": "operation", "was": "excluded", "tag": text, "reason": text},
        {"kind": "behaviour", "did": "event", "name": text, "at_least": 2},
    ]


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=50))
def test_the_text_of_a_statement_is_the_same_whatever_a_tenant_writes(text: str) -> None:
    for hostile, plain in zip(trees(text), trees(PLAIN), strict=True):
        assert statement(hostile).text == statement(plain).text


@pytest.mark.parametrize("text", [HOSTILE, "$1", "'", "{0}", "%s", "\\", '"; select 1', "/*", "j1.members"])
def test_what_was_written_is_bound_and_is_nowhere_in_the_text(text: str) -> None:
    sign = "\N{SNOWMAN}"
    for tree in trees(text + sign):
        text_of_it, parameters = statement(tree)

        assert sign not in text_of_it
        assert "drop" not in text_of_it
        assert sign in repr(parameters)


def test_every_parameter_is_used_with_its_type_and_the_tenant_in_every_table() -> None:
    for tree in trees(HOSTILE):
        text, parameters = statement(
            {"kind": "all", "of": [tree, {"kind": "behaviour", "did": "opened", "at_least": 1}]}
        )

        used = {int(number) for number in re.findall(r"\$(\d+)", text)}
        assert used == set(range(1, len(parameters) + 1))
        assert re.findall(r"\$\d+(?!\d|::)", text) == []
        tables = re.findall(r"(?:from|join) ([a-z]+)(?: as ([a-z]+))?\b", text)
        for table, alias in tables:
            assert table in ("contacts", "sets", "tallies", "operations", "choices", "names")
            prefix = f"{alias}." if alias and alias not in ("where", "left") else ""
            assert f"{prefix}tenant = $1::int" in text


def test_who_belongs_is_written_down_as_who_belongs_is_read() -> None:
    for tree in trees(HOSTILE):
        criterion, _ = language.read(tree)
        assert criterion is not None
        who = compiled(7, criterion, KNOWN, NOW)

        text, parameters = who.kept("06dndml801in6t31cpig")

        assert text.startswith("insert into target_members (tenant, job, chunk, contacts) select $1::int, $")
        assert who.members().text.partition(" from ")[2].removesuffix(" order by c.contact") in text
        assert tuple(parameters) == (*who.members().parameters, "06dndml801in6t31cpig")


def test_the_same_criterion_is_computed_once_however_often_it_stands_there() -> None:
    one = {"kind": "behaviour", "did": "opened", "at_least": 2, "last_days": 30}
    segments = {1: language.read(one)[0], 2: language.read({"kind": "none", "of": [one]})[0]}
    known = Known(KNOWN.fields, {number: found for number, found in segments.items() if found is not None})

    text, _ = statement(
        {
            "kind": "any",
            "of": [one, {"kind": "all", "of": [one]}, {"kind": "segment", "test": "in", "segments": [1, 2]}],
        },
        known,
    )

    assert text.count("left join") == 1


def test_what_costs_little_is_looked_at_first() -> None:
    text, _ = statement({
        "kind": "all",
        "of": [
            {"kind": "behaviour", "did": "opened", "at_least": 1},
            {"kind": "operation", "was": "opened", "tag": "a"},
            {"kind": "field", "field": "number", "test": "greater", "value": 1},
        ],
    })  # fmt: skip

    where = text.rpartition(" where c.tenant")[2]
    assert where.index("numbers") < where.index("get_bit") < where.index("contact is not null")
