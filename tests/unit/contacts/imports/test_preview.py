"""The first lines of a table, column by column, before it is imported."""

from services.contacts.imports.columns import COLUMNS, Field
from services.contacts.imports.preview import MAX_LINES, Preview, preview
from services.contacts.imports.reading import Asked

FIELDS = [*COLUMNS, Field("first_name", "text", "First name", 1, 1), Field("birthday", "date", "", 2, 1)]
FILE = "Mél;Prénom;Âge;Opt-In Email\nana@exemple.fr;Ana;37;Oui\nbo;Bo;;Non\n\ncy@exemple.fr\n"


def seen(file: str | bytes, *, is_all: bool = True, **how: object) -> Preview:
    received = file if isinstance(file, bytes) else file.encode()
    return preview(Asked("email", FIELDS, **how), received, is_all=is_all)  # type: ignore[arg-type]


def test_each_column_is_a_field_or_nothing_and_each_line_is_judged() -> None:
    found = seen(FILE)

    assert (found.encoding, found.delimiter, found.problem) == ("utf-8", ";", "")
    assert found.headings == ["Mél", "Prénom", "Âge", "Opt-In Email"]
    assert found.targets == ["email", "first_name", None, "opt_in_email"]
    assert [(line.line, line.cells[:2], bool(line.fault)) for line in found.lines] == [
        (2, ["ana@exemple.fr", "Ana"], False),
        (3, ["bo", "Bo"], True),
        (5, [], True),
    ]
    assert "no @" in found.lines[1].fault


def test_a_mapping_is_followed_and_what_it_lacks_is_said() -> None:
    mapped = seen(FILE, mapping={"Mél": "email", "Âge": "first_name"})
    lacking = seen(FILE, mapping={"Mél": None, "Prénom": "first_name"})

    assert mapped.targets == ["email", None, "first_name", None]
    assert lacking.targets == [None, "first_name", None, None]
    assert "no column is the key" in lacking.problem
    assert lacking.lines[0].cells == ["ana@exemple.fr", "Ana", "37", "Oui"]


def test_without_a_column_for_the_key_the_headings_are_shown_all_the_same() -> None:
    found = seen("a,Prénom,Prénom\n1,Ana,Bo\n")

    assert found.targets == [None, "first_name", "first_name"]
    assert "two columns are 'first_name'" in found.problem


def test_a_line_that_was_cut_is_not_shown() -> None:
    cut = seen("email;x\nana@exemple.fr;1\nbo@exem", is_all=False)

    assert [line.line for line in cut.lines] == [2]


def test_what_is_no_table_is_said_and_a_long_one_is_not_read_to_its_end() -> None:
    assert "the file is" in seen(b"PK\x03\x04" + bytes(100)).problem
    assert seen("").problem == "the file has no line"
    assert len(seen("email\n" + "ana@exemple.fr\n" * 1_000).lines) == MAX_LINES
    assert seen("email\nétienne@exemple.fr\n".encode("cp1252")).encoding == "cp1252"
