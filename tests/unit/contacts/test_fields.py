"""Values of fields: what is one, how it is kept, and how it comes back."""

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contacts.base import fields
from services.contacts.base.fields import Field, NotSo, Value
from services.contacts.base.folding import folded
from shared.mail.addresses import AROUND

SECTOR = Field(3, "sector", "choice", choices={"Retail": 3 << 16, "Industry": (3 << 16) + 1})
HOBBIES = Field(4, "hobbies", "choices", choices={"Wine": 4 << 16, "Golf": (4 << 16) + 1, "Été": (4 << 16) + 2})
TAGS = Field(5, "tags", "choices", choices={"vip": 5 << 16}, built_in=True)
VIP = Field(6, "vip", "yes_no", choices={"yes": 6 << 16, "no": (6 << 16) + 1})
TOWN, NOTE = Field(1, "town", "text", slot=1), Field(2, "note", "text", slot=3)
CHILDREN, SINCE = Field(7, "children", "number", slot=2), Field(8, "since", "date", slot=1)
ALL = (SECTOR, HOBBIES, TAGS, VIP, TOWN, NOTE, CHILDREN, SINCE)


@pytest.mark.parametrize(
    ("field", "given", "expected"),
    [
        (TOWN, "  Paris\u00a0", "Paris"),
        (TOWN, " ", None),
        (TOWN, None, None),
        (CHILDREN, 2, 2),
        (CHILDREN, 2.0, 2),
        (CHILDREN, 2.5, 2.5),
        (CHILDREN, 0, 0),
        (SINCE, "2026-01-31", date(2026, 1, 31)),
        (SINCE, "", None),
        (SECTOR, "RETAIL", ["Retail"]),
        (SECTOR, "", None),
        (HOBBIES, ["golf", "Wine", "GOLF"], ["Wine", "Golf"]),
        (HOBBIES, ["e\u0301te\u0301"], ["Été"]),
        (HOBBIES, [], None),
        (TAGS, ["new one", "VIP", "New One"], ["vip", "new one"]),
        (VIP, False, False),
        (VIP, None, None),
    ],
)
def test_e4_a_value_is_read_by_its_kind(field: Field, given: Any, expected: Value) -> None:
    assert fields.value(field, given) == expected


@pytest.mark.parametrize(
    ("field", "given", "what"),
    [
        (TOWN, 1, "expected text"),
        (TOWN, "a\0b", "control character"),
        (TOWN, "x" * 2_001, "longer than 2,000"),
        (CHILDREN, "2", "expected a number"),
        (CHILDREN, True, "expected a number"),
        (CHILDREN, 10**15, "15 digits"),
        (CHILDREN, float("nan"), "15 digits"),
        (SINCE, "31/01/2026", "2026-01-31"),
        (SINCE, "2026-02-30", "no such day"),
        (SECTOR, "Wine", "'Wine' is none of 'Retail', 'Industry'"),
        (SECTOR, ["Retail"], "one of the field's words"),
        (HOBBIES, "Wine", "a list"),
        (HOBBIES, ["Wine", "Cheese"], "'Cheese' is none of"),
        (VIP, "yes", "true or false"),
    ],
)
def test_what_is_no_value_is_refused_with_what_was_expected(field: Field, given: Any, what: str) -> None:
    with pytest.raises(NotSo, match=what):
        fields.value(field, given)


def test_e1_a_key_is_compared_without_case_and_an_empty_one_is_none() -> None:
    assert fields.key("email", " Ana@Exemple.FR ") == "ana@exemple.fr"
    assert fields.key("mobile", "+33 6 12 34 56 78") == fields.key("mobile", "0033612345678") == "+33612345678"
    assert fields.key("customer", "C-Été") == "c-été"
    for key_field, text, what in (
        ("email", "ana", "not an address"),
        ("email", " ", "is the key"),
        ("mobile", "0612345678", "code of its country"),
        ("customer", "", "is the key"),
    ):
        with pytest.raises(NotSo, match=what):
            fields.key(key_field, text)


texts = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=20)
values = st.fixed_dictionaries(
    {},
    optional={
        "sector": st.sampled_from([["Retail"], ["Industry"]]),
        "hobbies": st.lists(st.sampled_from(["Wine", "Golf", "Été"]), min_size=1, unique=True),
        "vip": st.booleans(),
        "town": texts.map(lambda text: text.strip(AROUND)).filter(bool),
        "note": texts.map(lambda text: text.strip(AROUND)).filter(bool),
        "children": st.integers(-(10**14), 10**14) | st.floats(-1e6, 1e6, allow_nan=False),
        "since": st.dates(),
    },
)


@given(values)
def test_what_is_kept_comes_back_as_it_was(written: dict[str, Value]) -> None:
    kept = fields.kept(ALL, written)

    row = {"texts": kept.texts, "numbers": kept.numbers, "dates": kept.dates, "choices": kept.choices}
    found = fields.values(ALL, row)
    assert {name: sorted(one) if isinstance(one, list) else one for name, one in found.items()} == {
        name: sorted(one) if isinstance(one, list) else one for name, one in written.items()
    }
    assert kept.choices == sorted(kept.choices)
    assert kept.folded == [None if one is None else folded(one) for one in kept.texts]


def test_a_choice_is_shown_as_its_word_and_a_date_as_text() -> None:
    assert fields.shown(SECTOR, ["Retail"]) == "Retail"
    assert fields.shown(HOBBIES, ["Wine"]) == ["Wine"]
    assert fields.shown(SINCE, date(2026, 1, 31)) == "2026-01-31"
