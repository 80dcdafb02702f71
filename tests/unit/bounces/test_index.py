"""Each mail of `tests/data/bounces` gives what its index says: kind, class, verdict and address of each recipient."""

from functools import cache

import pytest

from services.bounces import classified
from tests.unit.bounces.parts import SAMPLES

Expected = tuple[str, ...]
#: So many examples are promised.
LEAST_MAILS = 200


@cache
def index() -> dict[str, list[Expected]]:
    rows: dict[str, list[Expected]] = {}
    for line in (SAMPLES / "index.tsv").read_text("utf-8").splitlines():
        if not line.startswith("#"):
            name, *expected = line.split("\t")
            rows.setdefault(name, []).append(tuple(expected))
    return rows


def fits(said: str | None, expected: str) -> bool:
    return expected == "*" or (said != "hard" if expected == "!hard" else (said or "-") == expected)


def test_each_mail_is_in_the_index_and_there_are_enough() -> None:
    there = {str(file.relative_to(SAMPLES)) for file in SAMPLES.rglob("*.eml") if file.parent.name != "hostile"}

    assert set(index()) == there
    assert len(index()) >= LEAST_MAILS


@pytest.mark.parametrize("ends", ["lf", "crlf"])
def test_each_mail_gives_what_the_index_says(ends: str) -> None:
    wrong = {}
    for name, expected in index().items():
        raw = (SAMPLES / name).read_bytes().replace(b"\r\n", b"\n")
        rows = classified.of_mail(raw.replace(b"\n", b"\r\n") if ends == "crlf" else raw)
        said = [(row.kind, row.class_, row.verdict, row.recipient) for row in rows]
        if len(said) != len(expected) or not all(
            fits(word, wanted)
            for row, line in zip(said, expected, strict=True)
            for word, wanted in zip(row, line, strict=True)
        ):
            wrong[name] = (said, expected)

    assert wrong == {}
