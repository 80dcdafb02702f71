"""docs/consent.md has the points on tracking pixels that tests/flows/test_pixel_consent.py asks, and no others."""

from pathlib import Path

from tests.flows.test_pixel_consent import POINTS

PAGE = Path(__file__).parents[2] / "docs/consent.md"
#: What is not done, and what settings decide.
NOT_ASKED = ("Counts without a name", "What needs no consent", "Not for ever")


def test_the_page_has_every_point_and_no_other() -> None:
    table = PAGE.read_text("utf-8").partition("| point |")[2].partition("\n\n")[0]
    rows = [line[2:].split(" | ") for line in table.splitlines() if line.startswith("| ")]

    named = [row[0] for row in rows if row[0] != "---"]
    assert sorted(named) == sorted((*POINTS, *NOT_ASKED))
