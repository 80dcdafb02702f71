"""Templates print what variables hold, and reach nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.templates import InvalidTemplate, TemplateFailed, Templates, escaped, printed, safe

values = st.recursive(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.integers() | st.floats() | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=3), inner, max_size=3),
    max_leaves=5,
)


@given(values)
def test_a_value_is_printed_and_escaped_as_templates_do(value: object) -> None:
    templates = Templates({"html": "{{ value }}", "text": "{{ value }}"})

    assert printed(value) == templates.render("text", {"value": value})
    assert escaped(printed(value)) == templates.render("html", {"value": value})


def test_only_the_html_is_escaped() -> None:
    templates = Templates({"html": "{{ a }}", "text": "{{ a }}", "subject": "{{ a }}"})

    assert templates.render("html", {"a": "<&'\"/>"}) == "&lt;&amp;&#x27;&quot;&#x2f;&gt;"
    assert templates.render("text", {"a": "<&'\"/>"}) == "<&'\"/>"
    assert templates.render("subject", {"a": "<&'\"/>"}) == "<&'\"/>"
    assert templates.render("html", {"a": safe("<b>")}) == "<b>"


def test_what_nothing_defines_is_empty() -> None:
    templates = Templates({"text": "[{{ a }}{{ b.c.d }}{{ e|default('vous') }}]\n"})

    assert templates.render("text", {}) == "[vous]\n"


def test_a_template_that_does_not_compile_says_where() -> None:
    with pytest.raises(InvalidTemplate) as caught:
        Templates({"html": "<p>\n{{ a }"})

    assert caught.value.line == 2
    assert "a bracket closes that was not opened" in caught.value.what


@pytest.mark.parametrize(
    "source",
    [
        "{{ a|nonsense }}",
        "{{ nonsense() }}",
        "{{ 1 / 'a' }}",
        "{{ items.pop(9) }}",
        "{% include '/etc/passwd' %}",
        "{% extends 'x' %}",
        "{% import 'x' as y %}",
        "{{ debug() }}",
        "{{ items.__reduce_ex__(2) }}",
        "{{ 'a'|indent(10 ** 12) }}",
        "{{ '%1000000000000d'|format(1) }}",
        "{{ items|slice(10 ** 12) }}",
        "{{ items|batch(10 ** 12, 0) }}",
        "{{ items|batch(0) }}",
        "{{ items|tojson(10 ** 12) }}",
        "{{ ('a' * 100000)|replace('a', 'b' * 100000) }}",
        "{{ 'a' * 10 ** 12 }}",
        "{{ 'a' * 6000000 }}",
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    ],
)
def test_what_fails_with_its_variables_fails_alone(source: str) -> None:
    with pytest.raises((TemplateFailed, InvalidTemplate)):
        Templates({"text": source}).render("text", {"items": [1]})


@pytest.mark.parametrize("path", ["d.__class__", "l.__class__", "s.__class__", "d['__class__']", "d|attr('__class__')"])
def test_templates_do_not_see_python(path: str) -> None:
    templates = Templates({"text": "{{ " + path + " }}"})

    assert templates.render("text", {"d": {}, "l": [], "s": ""}) == ""


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{{ items|batch(2) }}", "[[1, 2], [3]]"),
        ("{{ items|batch(2, 0) }}", "[[1, 2], [3, 0]]"),
        ("{{ []|batch(2, 0) }}", "[]"),
        ("{% for a in 'abc'|batch(2) %}{{ a|join }},{% endfor %}", "ab,c,"),
        ("{{ 'a-b'|replace('-', '/') }}{{ 11|replace(1, 2) }}", "a&#x2f;b22"),
        ("{{ {'a': \"<'&>\"}|tojson|safe }}", '{"a":"\\u003c\\u0027\\u0026\\u003e"}'),
        ("{{ {'a': 1}|tojson }}", "{&quot;a&quot;:1}"),
        ("{{ 'é\"_😀'|in_string|safe }}", "é\\u0022\\u005f\\ud83d\\ude00"),
        ("{{ nobody|in_string }}{{ nobody|in_script }}{{ true|in_script }}{{ 1.5|in_script }}", "nulltrue1.5"),
        ("{{ '12'|in_script }}{{ '1e9'|in_script|safe }}", '12"1e9"'),
    ],
)
def test_the_bounded_filters_do_what_they_are_named_for(source: str, text: str) -> None:
    assert Templates({"html": source}).render("html", {"items": [1, 2, 3]}) == text
