"""Documents become pages: their links lead to pages, nothing in them is markup, and each anchor is there once."""

import re

import pytest

from services.pages import documents
from services.pages.documents import Documents

API = """# The API

<!-- made -->

| | |
| --- | --- |
| [Jobs](#jobs) | all |

## Jobs

### POST /v1/jobs

Answers [Job](#job), see [the guide](guide.md#first).

```sh
## no heading
curl "$BASE/v1/jobs"
```

## Shapes

### Job

A [job](#jobs).
"""
GUIDE = "# Guide\n\n## First\n\n<script>x</script> [api](api.md#job) [code](../services/a.py) [list](README.md)\n"
MADE = Documents({"README": "# Documents\n", "guide": GUIDE, "api": API, "decisions/README": "# D\n\n[g](../guide.md)"})
OURS = documents.read()


def html(name: str) -> str:
    page = MADE.page(name)
    assert page is not None
    return page.html


def test_the_long_document_is_cut_into_its_chapters() -> None:
    assert [name for name in MADE._chapters if name.startswith("api/")] == ["api/jobs", "api/shapes"]
    assert '<h1 id="jobs">Jobs</h1>' in html("api/jobs")
    assert '<h2 id="post-v1jobs">' in html("api/jobs")
    assert "## no heading" in html("api/jobs")
    assert "made" not in html("api")


def test_a_table_without_words_in_its_head_has_none() -> None:
    assert "<table>" in html("api")
    assert "<th>" not in html("api")


def test_links_lead_to_the_page_that_has_it() -> None:
    assert 'href="/docs/api/shapes#job"' in html("api/jobs")
    assert 'href="/docs/api/jobs#jobs"' in html("api")
    assert 'href="/docs/guide#first"' in html("api/jobs")
    assert 'href="/docs/api/shapes#job"' in html("guide")
    assert 'href="/docs"' in html("guide")
    assert 'href="/docs/guide"' in html("decisions/README")


def test_a_link_to_what_is_no_page_is_none() -> None:
    assert "<span>code</span>" in html("guide")


def test_markup_in_a_document_is_text() -> None:
    assert "&lt;script&gt;" in html("guide")


def test_what_is_not_there_is_no_page() -> None:
    assert MADE.page("nothing") is None
    assert MADE.page("../README") is None


@pytest.mark.parametrize("name", list(OURS._chapters))
def test_of_our_own_documents_each_has_a_page_whose_links_lead_somewhere(name: str) -> None:
    page = OURS.page(name)

    assert page is not None
    ids = re.findall(r' id="([^"]*)"', page.html)
    assert len(ids) == len(set(ids))
    assert page.html.count("<h1") == 1
    for path, anchor in re.findall(r'href="/docs/?([^"#]*)(?:#([^"]*))?"', page.html):
        target = OURS.page(path or documents.INDEX)
        assert target is not None, path
        assert not anchor or f'id="{anchor}"' in target.html, (path, anchor)
