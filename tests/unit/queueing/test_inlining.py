"""CSS goes into the elements, and nothing else of the HTML changes."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.queueing import inlining
from shared.words.content import CompiledContent, Part
from tests.jobs import compile_job


@pytest.mark.parametrize(
    ("source", "inlined"),
    [
        ("<style>p{color:red}</style><p>a</p>", '<style>p{color:red}</style><p style="color: red;">a</p>'),
        (
            '<style>p{color:red}</style><p class=b style="margin:0">a</p>',
            '<style>p{color:red}</style><p class=b style="color: red;margin: 0">a</p>',
        ),
        (
            """<style>p{color:red}</style><p style="background:url('a;b');font:'c;d'">a</p>""",
            """<style>p{color:red}</style><p style="color: red;background: url('a;b');font: 'c;d'">a</p>""",
        ),
        (
            "<style>.b{color:{{ colour }}}</style><p class='{{ c }}'>a</p><b class=b>{{ d|default('<e>') }}</b>",
            "<style>.b{color:{{ colour }}}</style><p class='{{ c }}'>a</p>"
            "<b style=\"color: {{ colour }};\" class=b>{{ d|default('<e>') }}</b>",
        ),
        (
            "<style>td{color:red}</style><table>{% for r in rows %}<tr><td>{{ r }}</td></tr>{% endfor %}</table>",
            "<style>td{color:red}</style><table>{% for r in rows %}<tr>"
            '<td style="color: red;">{{ r }}</td></tr>{% endfor %}</table>',
        ),
    ],
)
def test_what_a_style_says_of_an_element_stands_in_it(source: str, inlined: str) -> None:
    assert inlining.inlined(source) == inlined


@pytest.mark.parametrize(
    "source",
    [
        "<p>a</p>",
        "<style>@media (max-width:9px){p{color:red}} a:hover{color:red}</style><p>a</p><a>b</a>",
        "<style>{% if a %}p{color:red}{% endif %}</style><p>a</p>",
        "<style>p{color:red}</style><p {% if a %}class=b{% endif %}>a</p>",
        "<style>p{color:red}</style><p style='{{ x }}'>a</p><p style='y'>b</p><p style=\"background:url('c\">d</p>",
        "<style>p{color:red}</style><p {% if a %}style='b{% endif %}'>a</p>",
        "<style>b{color:red}</style><!--[if mso]><b>a</b><![endif]-->",
    ],
)
def test_what_depends_on_something_is_left_alone(source: str) -> None:
    assert inlining.inlined(source) == source


def test_nothing_is_loaded(tmp_path: Path) -> None:
    sheet = tmp_path / "a.css"
    sheet.write_text("p{color:red}")
    links = f'<link rel="stylesheet" href="{sheet}"><link rel=stylesheet href="{sheet.as_uri()}">'
    source = f'{links}<style>@import "{sheet}";</style><p>a</p>'

    assert inlining.inlined(source) == source


def test_a_job_says_whether_it_wants_it() -> None:
    html = "<style>@media print{#a{color:red}} p{color:red}</style><p>{{ a }}</p>"

    for wanted in (True, False):
        found = compile_job(html=html, inline_css=wanted)
        assert isinstance(found, CompiledContent)
        (part,) = (one for one in found.body if isinstance(one, Part))
        static = b"".join(one for one in part.segments if isinstance(one, bytes)).replace(b"=\r\n", b"")
        assert (b'<p style=3D"color: red;">' in static) is wanted
        assert b"@media print{#a{color:red}}" in static


def test_an_html_that_becomes_too_long_is_refused() -> None:
    html = f"<style>i{{font-family:{'x' * 9_000}}}</style>{'<i>a</i>' * 200}"

    found = compile_job(html=html, inline_css=True)
    assert isinstance(found, list)
    (fault,) = found
    assert (fault.at, fault.what.split(" of ")[0]) == ("$.html", "becomes an HTML")


@settings(deadline=None)
@given(
    st.lists(
        st.sampled_from([
            "<p>", "</p>", "<td>", "<table>", "</table>", "{{ a }}", "{% if a %}<b>c</b>{% endif %}",
            "<style>p{color:red}", "</style>", "<p class='k' style=margin:0>", "&nbsp;", "<!-- ", " -->", "\n",
            "<p style='{{ x }}'>", "<p style='margin:{{ x }}px'>", "<p style=x>", "é",
        ]),
        max_size=12,
    ).map("".join)
)  # fmt: skip
def test_all_that_is_put_in_is_a_style(source: str) -> None:
    found = inlining.inlined(source)

    assert _without_styles(found) == _without_styles(source)


def _without_styles(text: str) -> str:
    return re.sub(r"""\sstyle=(?:"[^"]*"|'[^']*'|[^\s>"']+)""", "", text)
