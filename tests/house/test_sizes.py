"""Nothing is longer than it may be but what is known to be, and that only shrinks."""

from tests.house import sizes
from tests.house.sizes import Piece

LONG = Piece("function", "services/a/a.py run", 70)


def test_nothing_is_longer_than_it_may_be() -> None:
    assert sizes.faults(sizes.all_pieces(), sizes.TOO_LONG) == []


def test_a_table_is_a_file_that_is_there() -> None:
    assert [table for table in sizes.TABLES if not (sizes.ROOT / table).is_file()] == []


def test_what_is_known_to_be_too_long_may_stay_and_neither_grow_nor_be_forgotten() -> None:
    assert sizes.faults([LONG], {LONG.name: 70}) == []
    assert sizes.faults([LONG], {}) == [f"{LONG.name}: 70 lines, of at most 60"]
    assert sizes.faults([LONG], {LONG.name: 69}) == [f"{LONG.name}: 70 lines, of at most 69"]
    assert sizes.faults([LONG], {LONG.name: 71}) == []
    assert sizes.faults([LONG._replace(lines=60)], {LONG.name: 70}) == [
        f"{LONG.name}: is short enough or gone, strike it off TOO_LONG"
    ]


def test_tables_and_files_of_tests_may_be_as_long_as_they_are_and_functions_of_tests_may_not() -> None:
    table, tests, function = "shared/words/replies.py", "tests/unit/a/test_a.py", "tests/unit/a/test_a.py test_it"

    found = [Piece("file", table, 900), Piece("file", tests, 900), Piece("function", function, 61)]

    assert sizes.faults(found, {}) == [f"{function}: 61 lines, of at most 60"]


def test_a_class_and_what_is_in_it_are_measured_from_their_first_line_to_their_last() -> None:
    found = list(sizes.pieces("a.py", '"""A."""\n\n@final\nclass B:\n    async def c(self):\n        def d(): ...\n'))

    assert found == [
        Piece("file", "a.py", 6),
        Piece("class", "a.py B", 3),
        Piece("function", "a.py B.c", 2),
        Piece("function", "a.py B.c.d", 1),
    ]
