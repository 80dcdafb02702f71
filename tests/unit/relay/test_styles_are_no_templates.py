"""What stands in styles and scripts goes out as it stands, and what begins a comment by chance is refused."""

import pytest

from services.queueing import raw_text
from services.queueing.compile import Limits, Sources, is_light
from shared.words.variables import NONE
from tests.jobs import compile_job
from tests.unit.relay.test_render import html, pixel, ready

CSS = "@media (max-width:600px){#main{width:100%}}a{color:red}@media print{#foot{display:none}/*#}*/}"
LOGIC = "{% if a %}A{% endif %}"


def faults(source: str) -> list[str]:
    found = compile_job(html=source)
    assert isinstance(found, list)
    return [fault.what for fault in found]


@pytest.mark.parametrize("end", ["", LOGIC])
@pytest.mark.parametrize(
    "source",
    [
        f"<style>{CSS}</style><p>{{{{ a }}}}</p>",
        f"<STYLE type='text/css' title=\"a>b\">{CSS}</STYLE ><p>{{{{ a }}}} {{# gone #}}</p>",
        f"<!--[if mso]><style>{CSS}</style><![endif]--><p>{{{{ a }}}}</p>",
        f"<!--[if !mso]><!--><style>{CSS}</style><!--<![endif]--><p>{{{{ a }}}}</p>",
        f"<style><!-- {CSS} --></style><p>{{{{ a }}}}</p>",
        f"<style>{CSS}b{{color:{{{{ a }}}}}}</style><p>x</p>",
        "<script>class A{#x=1;y(){return '{#'+this.#x}}</script><p>{{ a }}</p>",
        f"<style media=screen>{CSS}</style><script>if(a){{#b}}</script><style>{CSS}</style>{{{{ a }}}}",
        "<style>{# no comment here #}</style>{{ a }}{# one #}",
        f"<!-- <style>{CSS} --><p>{{{{ a }}}}{{# one #}}</p>",
        "{# <3 is no tag, nor is a < b #}<p>{{ a }}</p>",
    ],
)
def test_styles_and_scripts_go_out_as_they_stand(source: str, end: str) -> None:
    expected = source.replace("{{ a }}", "1").replace("{# gone #}", "").replace("{# one #}", "")
    expected = expected.replace("{# <3 is no tag, nor is a < b #}", "")

    made = html(ready(variables={"a": 1}), html=source + "end" + end)

    assert made == expected + "end" + ("A" if end else "") + pixel()


def test_statements_in_styles_are_the_templates() -> None:
    source = "<style>{% if a %}@media x{#m{}}{% endif %}{% raw %}{{ b }}{#n{}{% endraw %}</style>end"

    assert html(ready(variables={"a": 1}), html=source) == ("<style>@media x{#m{}}{{ b }}{#n{}</style>end" + pixel())


@pytest.mark.parametrize(
    "source",
    [
        "<p>{# old <b>words</b> #}</p>",
        "<p>a {#12</p><p>b {#13#}</p>",
        "<div>{#a</div>\n<!-- x -->#}",
        "<p>{# <br/> #}</p>",
        "{#<!-- #}<p>a</p>",
    ],
)
def test_a_comment_that_spans_a_tag_is_refused(source: str) -> None:
    (what,) = faults(source)

    assert "spans a tag" in what
    assert "line 1, column" in what
    assert "{% raw %}" in what


@pytest.mark.parametrize(
    ("source", "line", "column", "excerpt"),
    [
        ("<p>\n  {#12 </p>", 2, 3, "{#12 </p>"),
        ("<script>\nvar a = {{x: 1};</script>", 2, 15, "};</script>"),
        ("<p>\n{{ first name }}</p>", 2, 10, "name }}</p>"),
        ("<p>é{{ items first name }}</p>", 1, 14, "first name }}</p>"),
        ("<p>{% if %}x{% endif %}</p>", 1, 10, "%}x{% endif %}</p>"),
        ("<style>@media x{#a{}}</style>\n{{ 'b }}", 2, 4, "'b }}"),
        ("{% unknown %}", 1, 4, "unknown %}"),
        ("<style>@media x{{#a{}}</style>", 1, 18, "#a{}}</style>"),
    ],
)
def test_what_does_not_compile_is_told_with_line_column_excerpt_and_a_way_out(
    source: str, line: int, column: int, excerpt: str
) -> None:
    (what,) = faults(source)

    assert f"line {line}, column {column}: " in what
    assert excerpt in what
    assert "{% raw %}" in what
    assert "{% endraw %}" in what


def test_a_style_alone_takes_no_sandbox() -> None:
    given = Sources("s", f"<style>{CSS}</style>{{{{ a }}}}", None, NONE, True, True, Limits())

    assert is_light(given)


def test_each_character_is_looked_at_once() -> None:
    for source in ("<style '" * 50_000, "<style>{#" * 50_000, "<!--<style>-->" * 50_000, "<script {#" * 50_000 + "#}"):
        assert len(raw_text.kept(source)) == len(source)
