"""What lines say of contacts, in tables and as JSON."""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contacts.imports.columns import Field, Fields
from services.contacts.imports.lines import Contacts, Form, Layout, Line
from shared.tabular.rows import Rows
from shared.words.errors import Fault

FIELDS = Fields(
    [
        Field("email", "address"),
        Field("first_name", "text", "Prénom"),
        Field("last_name", "text", "Nom"),
        Field("points", "number"),
        Field("tags", "choices", "", 5, 0, {"a": 7, "b": 9}),
    ],
    "email",
)


Read = tuple[dict[str, Any], Line]


def read_all(body: bytes, mapping: Mapping[str, str | None] | None = None) -> list[Read | Fault]:
    rows = Rows(Form(FIELDS, mapping), None, finds=True)
    found = [row for _, row in [*rows.feed(body), *rows.feed(b"", last=True)] if row is not None]
    assert rows.table is None or isinstance(rows.table, Layout)
    return [row if isinstance(row, Fault) else named(row, rows.table) for row in found]


def named(line: Line, layout: Any) -> Read:
    return {field.name: value for field, value in zip(layout.fields, line.values, strict=True)}, line


def read(body: bytes) -> Read:
    (found,) = read_all(body)
    assert not isinstance(found, Fault), found
    return found


def refused(body: bytes) -> Fault:
    (found,) = read_all(body)
    assert isinstance(found, Fault)
    return found


def read_json(*items: Any) -> list[Read | Fault]:
    reader = Contacts(Form(FIELDS))
    body = "\n".join(json.dumps(item) for item in items).encode()
    found = [row for _, row in [*reader.feed(body), *reader.feed(b"", last=True)] if row is not None]
    return [row if isinstance(row, Fault) else named(row, reader.layouts[row.layout]) for row in found]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("charset", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_delimiters_and_encodings_are_found(delimiter: str, charset: str) -> None:
    body = delimiter.join(("Nom", "Email", "Points")) + "\r\n" + delimiter.join(("Zoé", "Ana@X.fr", '"1 234"')) + "\r\n"

    values, line = read(body.encode(charset))

    assert line.key == "ana@x.fr"
    assert values == {"last_name": "Zoé", "email": "Ana@x.fr", "points": 1234.0}


def test_e8_a_line_has_the_mapped_fields_and_no_others() -> None:
    values, _ = read(b"Email;Nom;Couleur\na@x.fr;Ann;rouge\n")

    assert values == {"email": "a@x.fr", "last_name": "Ann"}


def test_e9_an_empty_cell_empties_its_field() -> None:
    values, _ = read(b"Email;Nom;Points;Tags\na@x.fr; ;;\n")

    assert values == {"email": "a@x.fr", "last_name": None, "points": None, "tags": None}


@pytest.mark.parametrize(
    ("cell", "opts_in"), [("Non", False), ("0", False), ("", False), ("Oui", True), ("1", True), ("OUI ", True)]
)
def test_e11_the_words_of_opt_in_email(cell: str, opts_in: bool) -> None:
    _, line = read(f"Email;Opt-In Email\na@x.fr;{cell}\n".encode())

    assert line.opts_in is opts_in


def test_e11_without_the_column_the_opt_in_is_not_spoken_of() -> None:
    _, line = read(b"Email;Nom\na@x.fr;Ann\n")

    assert line.opts_in is None


@pytest.mark.parametrize(
    ("cell", "status"), [("Hard", "hard"), ("soft", "soft"), ("Valide", "valid"), ("VALID", "valid"), ("", None)]
)
def test_e12_the_words_of_statut_email(cell: str, status: str | None) -> None:
    _, line = read(f"Email;Statut Email\na@x.fr;{cell}\n".encode())

    assert line.status == status


@pytest.mark.parametrize("heading", ["Statut Email", "Opt-In Email"])
def test_e11_e12_other_words_refuse_the_line(heading: str) -> None:
    fault = refused(f"Email;{heading}\na@x.fr;bof\n".encode())

    assert fault.at == f"line 2.{heading}"
    assert "bof" in fault.what


@pytest.mark.parametrize(
    ("row", "at", "what"),
    [
        ("ana@;1", "line 2.Email", "not an address"),
        (";1", "line 2.Email", "it is the key"),
        ("a@x.fr;beaucoup", "line 2.Points", "expected a number"),
        ("a@x.fr;1;2", "line 2", "3 fields"),
    ],
)
def test_a_line_that_cannot_be_read_is_refused_with_its_place_and_the_reason(row: str, at: str, what: str) -> None:
    fault = refused(f"Email;Points\n{row}\n".encode())

    assert fault.at == at
    assert what in fault.what


@given(st.decimals(-(10**9), 10**9, places=3, allow_nan=False))
def test_a_number_is_the_same_however_quickly_it_is_read(number: Decimal) -> None:
    values, _ = read(f"Email;Points\na@x.fr;{number}\n".encode())
    by_comma, _ = read(f"Email;Points\na@x.fr;{number}\n".replace(".", ",").encode().replace(b"x,fr", b"x.fr"))

    assert values["points"] == by_comma["points"] == float(number)
    assert str(values["points"]) != "-0.0"


def test_a_line_that_cannot_be_read_changes_no_other() -> None:
    first, second, third = read_all(b"Email;Points\na@x.fr;1\nb@x.fr;x\nc@x.fr;3\n")

    assert isinstance(second, Fault)
    assert not isinstance(first, Fault)
    assert not isinstance(third, Fault)
    assert (first[0]["points"], third[0]["points"]) == (1, 3)


def test_in_json_a_name_that_is_not_there_is_not_mapped_and_null_empties() -> None:
    found = read_json(
        {"email": "A@x.fr", "points": 1.5, "Nom": None, "tags": ["B", "a"]},
        {"email": "b@x.fr", "couleur": {"any": "thing"}},
        {"email": "c@x.fr", "Prénom": "", "Opt-In Email": False},
    )

    assert [one[0] for one in found if not isinstance(one, Fault)] == [
        {"email": "A@x.fr", "points": 1.5, "last_name": None, "tags": [7, 9]},
        {"email": "b@x.fr"},
        {"email": "c@x.fr", "first_name": None},
    ]
    assert [one[1].opts_in for one in found if not isinstance(one, Fault)] == [None, None, False]


@pytest.mark.parametrize(
    ("item", "at", "what"),
    [
        ([1], "item 2", "not an object"),
        ({"Nom": "Ann"}, "item 2", "no column is the key"),
        ({"email": "a@x.fr", "points": [1]}, "item 2.points", "a list"),
        ({"email": "a@x.fr", "points": {}}, "item 2.points", "expected text"),
        ({"email": "a@x.fr", "optin": []}, "item 2.opt_in_email", "a list"),
        ({"email": None}, "item 2.email", "it is the key"),
    ],
)
def test_an_object_that_is_no_contact_is_refused_with_the_reason(item: Any, at: str, what: str) -> None:
    first, fault, last = read_json({"email": "a@x.fr", "Tags": []}, item, {"email": "z@x.fr"})

    assert not isinstance(first, Fault)
    assert first[0]["tags"] is None
    assert isinstance(fault, Fault)
    assert fault.at == at
    assert what in fault.what
    assert not isinstance(last, Fault)


@given(st.binary(max_size=300), st.integers(1, 40))
def test_nothing_that_comes_raises(body: bytes, cut: int) -> None:
    whole = b"Email;Nom;Points\n" + body
    rows = Rows(Form(FIELDS), None, finds=True)
    objects = Contacts(Form(FIELDS))
    for at in range(0, len(whole), cut):
        list(rows.feed(whole[at : at + cut]))
        list(objects.feed(whole[at : at + cut]))
    list(rows.feed(b"", last=True))
    list(objects.feed(b'{"email": "a@x.fr"}', last=True))


@given(st.lists(st.tuples(st.sampled_from(["a@x.fr", "B@x.fr", "", "no"]), st.text('xé;" \n\t', max_size=5))))
def test_what_a_spreadsheet_writes_is_read_back(given_rows: list[tuple[str, str]]) -> None:
    quoted = [f'"{key}";"{text.replace(chr(34), chr(34) * 2)}"' for key, text in given_rows]
    found = [one for one in read_all(("Email;Nom\n" + "\n".join(quoted) + "\n").encode()) if not isinstance(one, Fault)]

    readable = [(key, text) for key, text in given_rows if "@" in key]
    if not any("\n" in text for _, text in given_rows):
        assert [line.key for _, line in found] == [key.lower() for key, _ in readable]
        assert [values["last_name"] for values, _ in found] == [text.strip() or None for _, text in readable]
