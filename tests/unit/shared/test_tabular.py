"""Rows of a table: the same however their cells are written, in the encoding that is said or found."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.tabular.rows import Rows
from shared.words.errors import Fault


class Cells:
    """A table whose rows are their cells."""

    max_line_bytes = 1_000
    max_columns = 5
    is_headless = False
    warnings = ()
    address = 0

    def __init__(self, count: int = 0) -> None:
        self.count = count

    def has_address(self, fields: Sequence[str]) -> bool:
        return "email" in fields

    def read(self, fields: Sequence[str]) -> "Cells":
        return Cells(len(fields))

    def row(self, cells: list[str], at: str) -> tuple[str, ...] | Fault | None:
        return (*cells[: self.count],)


def read(body: bytes, charset: str | None = "utf-8", *, finds: bool = False) -> list[tuple[str, ...] | Fault]:
    rows = Rows(Cells(), charset, finds=finds)
    return [row for _, row in [*rows.feed(body), *rows.feed(b"", last=True)] if row is not None]


_CELLS = st.text(alphabet="ab @.é€;'", max_size=5)


@given(st.lists(st.tuples(_CELLS, _CELLS, _CELLS), max_size=20))
def test_a_row_is_the_same_with_quotes_and_without(found: list[tuple[str, str, str]]) -> None:
    plain = "".join(f"{','.join(cells)}\n" for cells in found)
    in_quotes = "".join(",".join(f'"{cell}"' for cell in cells) + "\n" for cells in found)

    expected = read(b"email,x,y\n" + in_quotes.encode())

    assert read(b"email,x,y\n" + plain.encode()) == expected
    assert expected == [cells for cells in found if any(cell.strip() for cell in cells)]


@pytest.mark.parametrize("row", [b"a,b,c,d,e,f\n", b'"a",b,c,d,e,f\n', b"\xc3\xa9,b,c,d,e,f\n"])
def test_a_row_with_too_many_fields_is_told_and_no_other(row: bytes) -> None:
    found = read(b"email,x\n" + row + b"a,b\n")

    assert found == [Fault("line 2", "more than 5 fields"), ("a", "b")]


@pytest.mark.parametrize(
    ("charset", "finds", "expected"),
    [
        (None, True, [("a", "é"), ("b", "Ã©")]),
        ("utf-8", True, [Fault("line 2", "not UTF-8: byte 0xE9 at 2"), ("b", "é")]),
        (None, False, [Fault("line 2", "not UTF-8: byte 0xE9 at 2"), ("b", "é")]),
        ("cp1252", False, [("a", "é"), ("b", "Ã©")]),
    ],
)
def test_an_encoding_is_found_only_where_that_is_asked_and_none_is_said(
    charset: str | None, finds: bool, expected: list[tuple[str, ...] | Fault]
) -> None:
    assert read(b"email,x\na,\xe9\nb,\xc3\xa9\n", charset, finds=finds) == expected
