"""MJML becomes HTML in which the template's words stand where they stood."""

from typing import Any

import pytest

from services.queueing import jobs, mjml
from services.queueing.mjml import InvalidMjml
from shared.words import content
from shared.words.content import CompiledContent, Part
from shared.words.errors import Fault
from tests.jobs import compile_job


def whole(body: str, head: str = "") -> str:
    return (
        f'<mjml lang="fr"><mj-head>{head}</mj-head><mj-body><mj-section><mj-column>\n{body}\n'
        "</mj-column></mj-section></mj-body></mjml>"
    )


def test_placeholders_come_out_as_they_were_written() -> None:
    source = whole(
        '{% for r in rows %}<mj-text>{{ r|default("<b>") }}{% if r < 3 and a > "b" %}x{% endif %}</mj-text>{% endfor %}'
        '<mj-button href="https://a.fr/{{ id }}">ici</mj-button>{# nothing #}'
    )

    html = mjml.to_html(source)

    assert '{{ r|default("<b>") }}{% if r < 3 and a > "b" %}x{% endif %}</div></td></tr>{% endfor %}' in html
    assert 'href="https://a.fr/{{ id }}"' in html
    assert "mj-" not in html.replace("mj-column", "").replace("mj-outlook", "").replace("mj-full", "")
    assert "fonts.googleapis.com" not in html


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("hello", "not MJML"),
        ("<mjml><mj-body><mj-section></mj-body></mjml>", "not MJML"),
        (whole('<mj-include path="/etc/hostname" />'), "line 2: mj-include: nothing is included"),
        (whole("<mj-text>a</mj-text>\n\n<mj-text foo='{{ x }}'>a</mj-text>"), "line 4: '{{ x }}' stands where nothing"),
    ],
)
def test_what_is_no_mjml_is_refused(source: str, fault: str) -> None:
    with pytest.raises(InvalidMjml) as refused:
        mjml.to_html(source)

    assert refused.value.faults[0].startswith(fault)


def test_a_job_of_mjml_is_tracked_as_html_is() -> None:
    source = whole(
        '<mj-text>{{ a }}</mj-text><mj-button href="https://a.fr/">b</mj-button>',
        "<mj-style>@media print{#a{color:red}}</mj-style>",
    )

    found = compile_job(mjml=source, text_from_html=True)

    assert isinstance(found, CompiledContent)
    assert found.links == [content.TrackedLink(0, "https://a.fr/")]
    assert [one.kind for one in found.body if isinstance(one, Part)] == ["text", "html"]
    assert found.uses == ["a"]
    assert jobs.language_of(source) == "fr"


@pytest.mark.parametrize(
    ("fields", "at"),
    [
        ({"mjml": whole("<mj-text>a</mj-text>"), "html": "<p>a</p>"}, "$.mjml"),
        ({"mjml": whole("<mj-text>{{ a</mj-text>")}, "$.mjml"),
        ({"mjml": whole("<mj-text>{% include 'a' %}</mj-text>")}, "$.mjml"),
        ({"mjml": whole("<mj-button href='javascript:1'>a</mj-button>")}, "$.mjml"),
        ({"mjml": whole("<mj-image src='cid:a' />")}, "$.mjml"),
        ({"mjml": "x" * 1_000_001}, "$.mjml"),
    ],
)
def test_what_is_wrong_is_said_of_the_mjml(fields: dict[str, Any], at: str) -> None:
    found = compile_job(**fields)

    assert isinstance(found, list)
    assert [one.at for one in found] == [at], found
    assert isinstance(found[0], Fault)
