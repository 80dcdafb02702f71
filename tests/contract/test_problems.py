"""Whatever the API answers as a problem is in the table of problems, and the table has nothing else."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.net import problems as of_aiohttp
from shared.net import server
from shared.words import problems
from shared.words.errors import Problem
from shared.words.problems import PROBLEMS

ROOT = Path(__file__).parents[2]
#: Words that are found by a status, where nobody of ours says `Problem("…")`.
BY_STATUS = {**of_aiohttp.PROBLEM_WORDS, **server.PROBLEM_WORDS}
#: What else has 404 and no name of a thing, and what is unknown in a body or a header.
NO_THING_OF_A_PATH = {"not_found", "unknown_key", "unknown_pool", "unknown_tenant", "unknown_sending_domain"}


def made() -> Iterator[tuple[str, ast.expr]]:
    """Every `Problem(…)` of the product: where it stands, and the word it is given."""
    for folder in ("services", "shared"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Problem":
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", node.args[0]


def words_made() -> set[str]:
    return {word.value for _, word in made() if isinstance(word, ast.Constant) and isinstance(word.value, str)}


def test_every_problem_that_is_made_is_in_the_table() -> None:
    unknown = [(where, ast.unparse(word)) for where, word in made() if ast.unparse(word).strip("'") not in PROBLEMS]

    # The first goes through the table; the others look the word up by a status.
    assert [where.partition(":")[0] for where, _ in unknown] == [
        "shared/http/openapi.py",
        "shared/net/problems.py",
        "shared/net/server.py",
    ]
    assert set(BY_STATUS.values()) <= PROBLEMS.keys()


def test_every_problem_of_the_table_is_made_somewhere() -> None:
    assert PROBLEMS.keys() - words_made() - set(BY_STATUS.values()) == set()


def test_a_word_that_is_found_by_a_status_has_that_status() -> None:
    assert {status: PROBLEMS[word].status for status, word in BY_STATUS.items()} == {one: one for one in BY_STATUS}


def test_what_is_not_there_is_unknown_and_its_thing() -> None:
    missing = {word for word, kind in PROBLEMS.items() if kind.status == 404}
    unknown = {word for word in PROBLEMS if word.startswith("unknown_")}

    assert missing ^ unknown == NO_THING_OF_A_PATH


@pytest.mark.parametrize("word", PROBLEMS)
def test_every_problem_is_told_in_a_title_and_a_sentence(word: str) -> None:
    status, title, sentence = PROBLEMS[word]

    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", word)
    assert 400 <= status < 600
    assert title.isascii()
    assert title[0].isupper()
    assert not title.endswith(".")
    assert sentence[:1].isupper() or sentence.startswith("`")
    assert sentence.endswith(".")


def test_titles_tell_problems_apart() -> None:
    assert len({kind.title for kind in PROBLEMS.values()}) == len(PROBLEMS)


def test_a_problem_has_the_status_and_title_of_its_word() -> None:
    document = Problem("unknown_job", "there is no such job").document()

    assert (document.type, document.status, document.title) == (problems.urn("unknown_job"), 404, "Unknown job")
