"""By what the mail of a test is known."""

import msgspec
import pytest

from services.queueing.tested import marked, shown
from shared.words.content import CompiledContent, Subject
from tests.jobs import compile_job, job_request

HTML = '<body><a href="https://a.fr/x?y=1&amp;z=2">a</a> <a href="https://{{ site }}/b" data-link-name="b">b</a></BODY>'
TEXT = "see https://a.fr/t and leave"


def compiled(html: str | None, text: str | None) -> CompiledContent:
    found = compile_job(html=html, text=text)
    assert isinstance(found, CompiledContent), found
    return found


def test_links_are_listed_in_each_part_by_their_places_and_none_is_added() -> None:
    links = compiled(HTML, TEXT).links

    tested = shown(job_request(html=HTML, text=TEXT), links)

    assert tested.html is not None
    assert tested.text is not None
    assert "0: a.fr/x?y=1&amp;z=2<br>1: &#123;&#123; site }}/b (b)<br>2: a.fr/t" in tested.html
    assert tested.html.endswith("</BODY>")
    assert "0: a.fr/x?y=1&z=2\n1: { { site } }/b (b)\n2: a.fr/t\n" in tested.text
    assert compiled(tested.html, tested.text).links == links


def test_what_has_no_link_is_as_it_was() -> None:
    job = job_request(html="<p>x</p>", text="x")

    assert shown(job, compiled(job.html, job.text).links) is job


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (Subject(("Bonjour",)), Subject(("[Test] ", "Bonjour"))),
        (Subject(template="{% if a %}x{% endif %}"), Subject(template="[Test] {% if a %}x{% endif %}")),
    ],
)
def test_a_test_says_that_it_is_one(given: Subject, expected: Subject) -> None:
    found = marked(msgspec.structs.replace(compiled(HTML, TEXT), subject=given, headers=[("X-Shop", "1")]))

    assert found.subject == expected
    assert found.headers == [("X-Shop", "1"), ("X-Estafette-Test", "1")]
