"""What cells say, as people and spreadsheets write them."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contacts.base.fields import NotSo
from services.contacts.imports import cells
from services.contacts.imports.cells import Kind, reader

CHOICES = ("Fidèle", "Prospect", "A, B")


@pytest.mark.parametrize(
    ("kind", "cell", "value"),
    [
        ("text", "  Zoé\u00a0", "Zoé"),
        ("number", "1234.5", Decimal("1234.5")),
        ("number", "1 234,50", Decimal("1234.5")),
        ("number", "1\u202f234\u00a0567", Decimal(1234567)),
        ("number", "1.234,5", Decimal("1234.5")),
        ("number", "1,234.5", Decimal("1234.5")),
        ("number", "1,5", Decimal("1.5")),
        ("number", "1.234.567", Decimal(1234567)),
        ("number", "-0", Decimal(0)),
        ("number", "\u22127", Decimal(-7)),
        ("number", "1'000", Decimal(1000)),
        ("date", "2026-01-31", "2026-01-31"),
        ("date", "31/01/2026", "2026-01-31"),
        ("date", "1.2.2026", "2026-02-01"),
        ("date", "31/01/2026 00:00:00", "2026-01-31"),
        ("date", "2026-01-31T23:00:00Z", "2026-01-31"),
        ("choice", "FIDÈLE", "Fidèle"),
        ("choices", "prospect | fidèle|Prospect", ["Prospect", "Fidèle"]),
        ("choices", "Prospect;Fidèle", ["Prospect", "Fidèle"]),
        ("choices", "a, b", ["A, B"]),
        ("choices", "A, B | Prospect", ["A, B", "Prospect"]),
        ("choices", " , ", None),
        ("yes_no", "Oui", True),
        ("yes_no", "faux", False),
        ("address", " Ana@EXEMPLE.fr ", "Ana@exemple.fr"),
        ("phone", "06 12.34-56 78", "+33612345678"),
        ("phone", "612345678", "+33612345678"),
        ("phone", "33612345678", "+33612345678"),
        ("phone", "+1 (415) 555-0132", "+14155550132"),
        ("phone", "+33 (0)6 12 34 56 78", "+33612345678"),
        ("phone", "0033612345678", "+33612345678"),
    ],
)
def test_a_cell_is_read_as_it_is_written_in_french_and_english(kind: Kind, cell: str, value: object) -> None:
    assert reader(kind, CHOICES)(cell) == value


@pytest.mark.parametrize(
    ("kind", "cell", "what"),
    [
        ("text", "x" * 2001, "longer than 2,000"),
        ("text", "a\0b", "control character"),
        ("number", "12e3", "expected a number"),
        ("number", "1.23.4", "expected a number"),
        ("number", "١", "expected a number"),
        ("number", "1,234,5678", "expected a number"),
        ("number", "1" * 16, "15 digits"),
        ("number", "0.1234567", "6 behind the point"),
        ("date", "31/02/2026", "no such day"),
        ("date", "01/31/2026", "no such day"),
        ("date", "31/01/26", "expected a date"),
        ("choice", "Client", "is none of 'Fidèle', 'Prospect', 'A, B'"),
        ("choices", "Fidèle|Client", "'Client' is none of"),
        ("yes_no", "peut-être", "expected oui or non"),
        ("address", "ana@", "not an address"),
        ("phone", "12", "expected a number"),
        ("phone", "06 12 34 56 78 poste 3", "expected a number"),
    ],
)
def test_what_is_nothing_of_the_kind_is_refused_and_quoted(kind: Kind, cell: str, what: str) -> None:
    with pytest.raises(NotSo, match=what):
        reader(kind, CHOICES)(cell)


@pytest.mark.parametrize("kind", ["text", "number", "date", "choice", "choices", "yes_no", "address", "phone"])
@pytest.mark.parametrize("cell", ["", "  ", "\u00a0\u200b"])
def test_e9_a_cell_with_nothing_in_it_empties_a_field_of_any_kind(kind: Kind, cell: str) -> None:
    assert reader(kind, CHOICES)(cell) is None


@given(st.sampled_from(["text", "number", "date", "choice", "choices", "yes_no", "address", "phone"]), st.text())
def test_whatever_stands_in_a_cell_it_is_read_or_refused(kind: Kind, cell: str) -> None:
    try:
        reader(kind, CHOICES)(cell)
    except NotSo as fault:
        assert str(fault)


@given(st.decimals(-(10**14), 10**14, places=4, allow_nan=False), st.sampled_from([".", ","]), st.booleans())
def test_a_number_is_the_same_however_it_is_grouped(number: Decimal, point: str, grouped: bool) -> None:
    written = f"{number:,f}" if grouped else f"{number:f}"
    if point == ",":
        written = written.replace(",", " ").replace(".", ",")

    assert reader("number")(written) == number


@pytest.mark.parametrize(
    ("value", "cell"),
    [(None, ""), (True, "1"), (12, "12"), (1.5, "1.5"), (1e3, "1000.0"), ("x", "x"), (["a", 1, True], ["a", "1", "1"])],
)
def test_what_comes_as_json_is_read_as_a_cell(value: Any, cell: object) -> None:
    assert cells.of_json(value) == cell


@pytest.mark.parametrize("value", [{}, [[]], [{}], {"a": 1}])
def test_what_is_neither_a_value_nor_a_list_of_them_is_refused(value: Any) -> None:
    with pytest.raises(NotSo):
        cells.of_json(value)
