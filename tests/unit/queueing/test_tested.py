"""By what the mail of a test is known."""

from typing import Any

import msgspec
import pytest

from services.queueing.tested import marked, shown
from shared.words.content import CompiledContent, Subject
from tests.jobs import compile_job, job_request

HTML = '<body><a href="https://a.fr/x?y=1&amp;z=2">a</a> <a href="https://{{ site }}/b" data-link-name="b">b</a></BODY>'
TEXT = "see https://a.fr/t and leave"


def compiled(**content: Any) -> CompiledContent:
    found = compile_job(**content)
    assert isinstance(found, CompiledContent), found
    return found


def test_links_are_listed_in_each_part_by_their_places_and_none_is_added() -> None:
    links = compiled(html=HTML, text=TEXT).links

    tested = shown(job_request(html=HTML, text=TEXT), links)

    assert tested.html is not None
    assert tested.text is not None
    assert "0: a.fr/x?y=1&amp;z=2<br/>1: { { site } }/b (b)<br/>2: a.fr/t" in tested.html
    assert tested.html.endswith("</BODY>")
    assert "0: a.fr/x?y=1&z=2\n1: { { site } }/b (b)\n2: a.fr/t\n" in tested.text
    assert compiled(html=tested.html, text=tested.text).links == links


MJML = "<mjml><mj-body><mj-section><mj-column><mj-text>{}</mj-text></mj-column></mj-section></mj-body></mjml>"
AMP = """<!doctype html><html amp4email data-css-strict><head><meta charset="utf-8"><script async
src="https://cdn.ampproject.org/v0.js"></script><style amp4email-boilerplate>body{visibility:hidden}</style></head>
<body><a href="https://a.fr/amp">a</a></body></html>"""


@pytest.mark.parametrize(
    "content",
    [
        {"mjml": MJML.format('<a href="https://a.fr/{{ x }}">a</a>')},
        {"html": HTML, "text": TEXT, "amp": AMP},
        {"html": HTML, "inline_css": True},
    ],
)
def test_they_are_in_every_kind_of_content_and_none_is_added(content: dict[str, Any]) -> None:
    links = compiled(**content).links

    tested = shown(job_request(**content), links)

    assert links
    again = {name: getattr(tested, name) for name in content}
    assert compiled(**again).links == links
    assert all("0: a.fr/" in source for source in again.values() if isinstance(source, str))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (Subject(("Bonjour",)), Subject(("[Test] ", "Bonjour"))),
        (Subject(template="{% if a %}x{% endif %}"), Subject(template="[Test] {% if a %}x{% endif %}")),
    ],
)
def test_a_test_says_that_it_is_one(given: Subject, expected: Subject) -> None:
    found = marked(msgspec.structs.replace(compiled(html=HTML, text=TEXT), subject=given, headers=[("X-Shop", "1")]))

    assert found.subject == expected
    assert found.headers == [("X-Shop", "1"), ("X-Estafette-Test", "1")]
