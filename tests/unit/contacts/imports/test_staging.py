"""Rows in the text format of COPY."""

from services.contacts.imports import staging
from services.contacts.imports.columns import Field
from services.contacts.imports.lines import Line

FIELDS = (
    Field("email", "address"),
    Field("town", "text", "", 1, 1),
    Field("points", "number", "", 2, 1),
    Field("name", "text", "", 3, 2),
    Field("born", "date", "", 4, 1),
    Field("tags", "choices", "", 5, 0, {"a": 7, "b": 9}),
)


def test_a_line_is_a_row_with_an_array_for_each_kind() -> None:
    line = Line("ana@x.fr", ["Ana@x.fr", "Évry", 1.5, "Zoé", "1990-01-31", [9, 7]], 0, True, "soft")

    (row,) = staging.rows([(2, line)], FIELDS, {"ana@x.fr": 12}, {})

    assert row == (
        "2", "ana@x.fr", "12", "Ana@x.fr", "ana@x.fr", "\\N", "\\N", '{"Évry","Zoé"}', '{"évry","zoé"}', "{1.5}",
        "{1990-01-31}", "{7,9}", "t", "soft",
    )  # fmt: skip


def test_what_is_empty_is_null_and_what_the_format_has_signs_for_is_written_with_them() -> None:
    line = Line("a\\b", [None, 'a"b\\c\td\n', None, None, None, None])

    (row,) = staging.rows([(3, line)], FIELDS, {}, {})

    assert row[:4] == ("3", "a\\\\b", "\\N", "\\N")
    assert row[7] == '{"a\\\\"b\\\\\\\\c\\td\\n",NULL}'
    assert row[9:] == ("{NULL}", "{NULL}", "{}", "\\N", "\\N")
    assert staging.copied([row]).count(b"\n") == 1


def test_empty_texts_are_null_wherever_they_stand() -> None:
    fields = tuple(Field(f"text{at}", "text", "", at, at) for at in (1, 2, 3))
    given: list[list[str | int | float | list[int | str] | None]] = [[None, "É", None], ["a", None, "NULL"], [None] * 3]

    found = [row[7:9] for row in staging.rows([(1, Line("k", one)) for one in given], fields, {}, {})]

    assert [[text.lower() for text in one] for one in found] == [
        ['{null,"é",null}', '{null,"é",null}'],
        ['{"a",null,"null"}', '{"a",null,"null"}'],
        ["{null,null,null}"] * 2,
    ]


def test_fields_stand_in_the_order_of_their_slots() -> None:
    fields = (Field("b", "text", "", 2, 7), Field("a", "text", "", 1, 3))

    (row,) = staging.rows([(1, Line("k", ["of b", "of a"]))], fields, {}, {})

    assert row[7] == '{"of a","of b"}'


def test_words_of_a_field_that_takes_new_ones_get_their_numbers_late() -> None:
    fields = (Field("email", "address"), Field("tags", "choices", "", 5, 0, {"VIP": 3}, is_open=True), FIELDS[5])
    line = Line("a@x.fr", ["a@x.fr", ["Été", "VIP"], [9]])

    (row,) = staging.rows([(3, line)], fields, {}, {(5, "été"): 4, (5, "vip"): 3})

    assert row[11] == "{3,4,9}"
