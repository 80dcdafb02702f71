"""Each mail of `tests/data/bounces` gives what its index says: kind, class, verdict and address of each recipient."""

from email import message_from_bytes
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


def test_what_a_mail_host_writes_is_understood_by_its_prose_alone() -> None:
    """Of every report that a real program made: the same of each recipient when the parts for machines are gone."""
    wrong = {}
    for file in sorted((SAMPLES / "made").glob("*.eml")):
        whole = message_from_bytes(file.read_bytes())
        failed = {row for row in classified.of_mail(file.read_bytes()) if row.kind == "bounce"}
        text = next((part.get_payload(decode=True) for part in whole.walk() if not part.is_multipart()), b"")
        if whole.get_content_type() != "multipart/report" or not isinstance(text, bytes) or not failed:
            continue
        head = "".join(f"{name}: {whole[name]}\n" for name in ("Return-Path", "From", "To", "Subject") if whole[name])
        alone = classified.of_mail(head.encode() + b"\n" + text)
        if {(row.recipient, row.class_, row.verdict) for row in alone} != {
            (row.recipient, row.class_, row.verdict) for row in failed
        }:
            wrong[file.name] = alone

    assert wrong == {}
