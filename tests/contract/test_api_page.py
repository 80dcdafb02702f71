"""`docs/api.md` is what its command makes, and leaves nothing out."""

import re
from pathlib import Path

import pytest

from services.http.__main__ import described
from services.http.page import _anchor
from shared.words import public, quotas
from shared.words.problems import PROBLEMS

PAGE = Path(__file__).parents[2] / "docs" / "api.md"


@pytest.fixture(scope="module")
def page() -> str:
    return PAGE.read_text(encoding="utf-8")


def test_the_page_is_what_its_command_makes(page: str, tmp_path: Path) -> None:
    assert page == described(str(tmp_path)), "run: python -m services.http describe > docs/api.md"


def test_every_type_of_event_problem_and_quota_is_on_the_page(page: str) -> None:
    headings = set(re.findall(r"^#+ (.+)$", page, re.MULTILINE))
    words = set(re.findall(r"^\| `(\w+)` \| ", page, re.MULTILINE))

    assert public.TYPES.keys() <= headings
    assert PROBLEMS.keys() | set(quotas.NAMES) <= words


def test_every_link_leads_somewhere(page: str) -> None:
    anchors = {_anchor(heading) for heading in re.findall(r"^#+ (.+)$", page, re.MULTILINE)}

    assert set(re.findall(r"\]\(#([^)]+)\)", page)) - anchors == set()
