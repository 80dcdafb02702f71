"""What would be empty for a recipient is not sent to them: for those whom queueing could not judge."""

from typing import Any

import pytest

from shared.making.render import RenderFailed
from tests.unit.relay.test_render import ready, renderer

NOW_MS = 1_750_000_000_000
LOGIC = "{% if true %}{% endif %}"


def reason(variables: dict[str, Any], **fields: Any) -> str | None:
    made = renderer(**{"html": "<p>x</p>", **fields})
    made.refuses_empty = True
    try:
        made.render(ready(variables=variables), NOW_MS)
    except RenderFailed as failed:
        return failed.reason
    return None


@pytest.mark.parametrize("logic", ["", LOGIC])
@pytest.mark.parametrize(("title", "expected"), [("Soldes", None), ("", "empty_subject"), ("\u00a0", "empty_subject")])
def test_a_subject_may_be_empty_for_one(logic: str, title: str, expected: str | None) -> None:
    assert reason({"title": title}, subject="{{ title }}" + logic) == expected
    assert reason({}, subject="{{ title }}" + logic) == "empty_subject"
    assert reason({"title": title}, subject="Re: {{ title }}" + logic) is None


@pytest.mark.parametrize("logic", ["", LOGIC])
@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"words": "x"}, None),
        ({"picture": "https://a.fr/a.png"}, None),
        ({"words": "&nbsp;"}, None),
        ({"words": " \u200b"}, "empty_body"),
        ({}, "empty_body"),
    ],
)
def test_a_body_may_be_empty_for_one(logic: str, variables: dict[str, Any], expected: str | None) -> None:
    html = "<style>p{}</style><title>News</title><p>{{ words }}</p><img src='{{ picture }}'>" + logic

    assert reason(variables, html=html) == expected
    assert reason(variables, html=html, text="{{ words }}" + logic) == expected
    assert reason(variables, html=html, text="Bonjour") is None
    assert reason(variables, html=html + "<p>Bonjour</p>") is None


def test_the_pixel_shows_nothing() -> None:
    assert reason({}, html="<body>{% if words %}{{ words }}{% endif %}</body>") == "empty_body"


def test_a_text_alone_may_be_empty() -> None:
    assert reason({}, html=None, text="{{ words }}\n") == "empty_body"
    assert reason({"words": "x"}, html=None, text="{{ words }}\n") is None
