"""The parameters of a query become what their Struct says, or are refused by their names, all at once."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import msgspec
import pytest

from shared.http import query
from shared.http.query import Read, Words
from shared.words.described import says
from shared.words.errors import Fault


def as_even(text: str) -> int:
    if int(text) % 2:
        raise ValueError("not even")
    return int(text)


class Wanted(msgspec.Struct, frozen=True):
    limit: Annotated[int, msgspec.Meta(ge=1, le=50, description="How many.", examples=[5])] = 10
    number: int = 0
    flag: bool = False
    since: datetime | None = None
    state: Literal["open", "done"] | None = None
    words: Annotated[frozenset[str] | None, says("Some.", ["a"]), Words(("a", "b"))] = None
    even: Annotated[int | None, says("An even one.", "2"), Read(as_even, {"pattern": "^[0-9]+$"})] = None
    text: Annotated[str, says("Any text.", "x", max_length=3)] = ""


def wanted(**given: str) -> Wanted:
    values, faults = query.decode(Wanted, given)
    assert faults == []
    return Wanted(**values)


def test_what_is_not_given_has_its_default() -> None:
    assert wanted() == Wanted()


def test_an_empty_text_list_or_reading_is_as_good_as_none() -> None:
    assert wanted(words="", even="", text="") == Wanted()


def test_every_kind_of_parameter_has_its_type() -> None:
    found = wanted(
        limit="50", flag="true", since="2026-01-31T09:05:00Z", state="done", words="b, a", even="4", text="abc"
    )

    assert found == Wanted(
        limit=50,
        flag=True,
        since=datetime(2026, 1, 31, 9, 5, tzinfo=UTC),
        state="done",
        words=frozenset("ab"),
        even=4,
        text="abc",
    )


@pytest.mark.parametrize(
    ("name", "text", "what"),
    [
        ("limit", "0", "expected 1 to 50"),
        ("limit", "51", "expected 1 to 50"),
        ("limit", "", "expected 1 to 50"),
        ("limit", "-1", "expected 1 to 50"),
        ("limit", "1e1", "expected 1 to 50"),
        ("limit", "\u0663", "expected 1 to 50"),
        ("limit", "9" * 10_000, "expected 1 to 50"),
        ("number", "x", "expected a number"),
        ("flag", "yes", "expected true or false"),
        ("flag", "", "expected true or false"),
        ("since", "yesterday", "expected a time such as 2026-01-31T09:05:00Z"),
        ("since", "2026-01-31T09:05:00", "expected a time such as 2026-01-31T09:05:00Z"),
        ("state", "", "expected open or done"),
        ("state", "opened", "expected open or done"),
        ("words", "a,c", "expected some of a, b, got 'c'"),
        ("even", "3", "not even"),
        ("text", "abcd", "longer than 3 characters"),
    ],
)
def test_what_does_not_fit_is_refused_by_its_name(name: str, text: str, what: str) -> None:
    assert query.decode(Wanted, {name: text}) == ({}, [Fault(f"?{name}", what)])


def test_all_that_is_wrong_is_found_at_once_and_the_rest_is_read() -> None:
    values, faults = query.decode(Wanted, {"even": "3", "limit": "x", "text": "ok"})

    assert [fault.at for fault in faults] == ["?limit", "?even"]
    assert values == {"text": "ok"}


@pytest.mark.parametrize(
    ("name", "schema"),
    [
        ("limit", {"type": "integer", "minimum": 1, "maximum": 50, "default": 10}),
        ("flag", {"type": "boolean", "default": False}),
        ("since", {"type": "string", "format": "date-time"}),
        ("state", {"enum": ["done", "open"]}),
        ("words", {"type": "array", "items": {"type": "string", "enum": ["a", "b"]}}),
        ("even", {"type": "string", "pattern": "^[0-9]+$"}),
        ("text", {"type": "string", "maxLength": 3, "default": ""}),
    ],
)
def test_the_document_says_what_is_read(name: str, schema: dict[str, Any]) -> None:
    found = {one.name: one for one in query.parameters(Wanted)}

    assert found[name].schema == schema


def test_a_parameter_that_nobody_can_read_is_no_parameter() -> None:
    class Odd(msgspec.Struct):
        point: complex = 0j

    with pytest.raises(TypeError):
        query.parameters(Odd)
