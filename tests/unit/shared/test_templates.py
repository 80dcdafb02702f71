"""Templates print what variables hold, and reach nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.mail.templates import (
    InvalidTemplate,
    TemplateFailed,
    Templates,
    escaped,
    printed,
    safe,
)

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


ORDER = {"a": 1, "inner": {"c": 2}, "xs": [{"n": "x", "items": 3}, {"n": "y"}]}
METHODS = sorted(name for name in {*dir(dict), *dir(list), *dir(str), *dir(int)} if not name.startswith("__"))


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("owner", ["", "order.", "order.inner.", "order.xs.", "order.xs[0].inner.", "order.a.", "s."])
def test_a_name_that_no_key_has_is_undefined_whatever_python_calls_so(owner: str, name: str) -> None:
    path = owner + name
    source = (
        f"[{{{{ {path} }}}}{{% if {path} %}}true{{% endif %}}{{% for one in {path} %}}one{{% endfor %}}"
        f"{{{{ {path}|default('none') }}}}{{{{ {path} is defined }}}}{{{{ {path}.deeper }}}}]"
    )

    assert Templates({"text": source}).render("text", {"order": ORDER, "s": "text"}) == "[noneFalse]"


@pytest.mark.parametrize("name", METHODS)
def test_a_key_may_be_called_as_a_method_of_python_is(name: str) -> None:
    source = f"{{{{ {name}|join('+') }}}} {{{{ o.{name} }}}} {{{{ o['{name}'] }}}} "
    source += f"{{% for x in {name} %}}{{{{ x }}}}{{% endfor %}}"

    assert Templates({"text": source}).render("text", {name: ["1", "2"], "o": {name: "v"}}) == "1+2 v v 12"


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{{ order.xs|map(attribute='keys')|select('defined')|list|length }}", "0"),
        ("{{ order.xs|selectattr('items')|map(attribute='n')|join }}", "x"),
        ("{{ order.xs|rejectattr('keys')|list|length }}", "2"),
        ("{{ order.xs|map(attribute='items', default='-')|join }}", "3-"),
        ("{{ order.xs|sum(attribute='items') }}", "3"),
        ("{{ order.xs|sort(attribute='values')|map(attribute='n')|join }}", "xy"),
        ("{% for group in order.xs|groupby('get', default='-') %}{{ group.grouper }}{% endfor %}", "-"),
        ("{{ order|attr('items') }}{{ order.inner|attr('__class__') }}{{ order['__len__'] }}", ""),
        ("{% for x in order.xs %}{{ loop.index }}{{ loop.last }}{{ x.items }}{{ x.keys }}{% endfor %}", "1False32True"),
        ("{% macro m() %}[{{ items }}]{% endmacro %}{{ m() }}{% set items = 5 %}{{ items }}", "[]5"),
        ("{% set values = 1 %}{{ values }}{% with keys = 2 %}{{ keys }}{% endwith %}{{ keys }}", "12"),
        ("{{ order is mapping }}{{ order.items }}{{ order is mapping }}{{ order|length }}", "TrueTrue3"),
        ("{% for key, value in order.inner|items %}{{ key }}={{ value }}{% endfor %}", "c=2"),
        ("{{ order.inner|dictsort }}{{ order.inner|tojson }}", "[('c', 2)]{\"c\":2}"),
        ("{{ order.inner == {'c': 2} }}{{ 'c' in order.inner }}{{ order.xs[1:]|length }}", "TrueTrue1"),
        ("{{ order.xs[0]|list|join }}{{ order.xs.1.n }}{{ order.inner }}", "nitemsy{'c': 2}"),
        ("{{ _variables_by_key }}{{ __builtins__ }}{{ self_ }}", ""),
    ],
)
def test_filters_and_loops_see_keys_and_nothing_else(source: str, text: str) -> None:
    assert Templates({"text": source}).render("text", {"order": ORDER}) == text


@pytest.mark.parametrize(
    "call", ["order.items()", "order.keys()", "order.xs.append(1)", "order.inner.clear()", "get('a')"]
)
def test_values_have_no_methods(call: str) -> None:
    with pytest.raises(TemplateFailed):
        Templates({"text": "{{ " + call + " }}"}).render("text", {"order": ORDER})


def test_names_of_parameters_are_names_of_variables_too() -> None:
    values = {name: name for name in ("template_name", "name", "source", "ctx", "kwargs", "state")}

    assert Templates({"text": "{{ template_name }}{{ name }}{{ source }}{{ ctx }}"}).render("text", values) == (
        "template_namenamesourcectx"
    )
