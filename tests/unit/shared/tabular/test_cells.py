"""Cells that no spreadsheet takes for a formula, and that are read back unchanged."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.tabular import cells

TEXTS = st.text(alphabet=st.characters(exclude_categories=["Cs"]))


@pytest.mark.parametrize("text", ["=1+1", "+33", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1", "'=1"])
def test_what_would_be_a_formula_is_text(text: str) -> None:
    assert cells.safe(text)[0] in "'\\"
    assert cells.read(cells.safe(text)) == text


@given(TEXTS)
def test_a_cell_is_read_back_unchanged_and_begins_no_formula(text: str) -> None:
    cell = cells.safe(text)

    assert cells.read(cell) == text
    assert not cell.startswith(tuple("=+-@\t\r\n"))
    assert "\n" not in cell
    assert "\r" not in cell


@given(st.lists(TEXTS, min_size=2, max_size=5), st.sampled_from(",;\t"))
def test_a_row_is_one_that_any_reader_of_csv_reads(texts: list[str], delimiter: str) -> None:
    row = delimiter.join(cells.quoted(text, delimiter) for text in texts)

    (found,) = csv.reader(io.StringIO(row, newline=""), delimiter=delimiter, strict=True) if row.strip("\0") else [[]]

    assert [cells.read(cell) for cell in found] == texts
