"""Placeholders are found where the template engine sees them."""

import minijinja
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from services.queueing.placeholders import placeholders

fragments = st.sampled_from(
    [
        *"{}%#-+ \n'\"\\ax[]()1:,|", "b.c", "raw", "endraw", "<a href=", "{{", "}}", "{%", "%}", "{#", "#}",
        "{{ a }}", "{{ b.c }}", "{% if a %}", "{% endif %}", "{% raw %}", "{% endraw %}", "{# c #}", "{{ '}}' }}",
        "{{ {'a': 1}['a'] }}", "{%- if a -%}", "{{- a -}}",
    ]
)  # fmt: skip


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("plain { text } % }}", []),
        ("a{{ b }}c", [("variable", "{{ b }}")]),
        ("{{b.c_d}}{{ e2 }}", [("variable", "{{b.c_d}}"), ("variable", "{{ e2 }}")]),
        ("{{ true }}{{ loop.index }}", [("expression", "{{ true }}"), ("expression", "{{ loop.index }}")]),
        ("{{- a }}", [("expression", "{{- a }}")]),
        ("{{ a|upper }}", [("expression", "{{ a|upper }}")]),
        ("{{ '}}' }}", [("expression", "{{ '}}' }}")]),
        ("{{ 'a\\'}}' }}", [("expression", "{{ 'a\\'}}' }}")]),
        ("{{ {'a': {'b': 1}}}}", [("expression", "{{ {'a': {'b': 1}}}}")]),
        ("{{ a }}}}", [("variable", "{{ a }}")]),
        ("{% if a %}x{% endif %}", [("statement", "{% if a %}"), ("statement", "{% endif %}")]),
        ("{% set a = '%}' %}", [("statement", "{% set a = '%}' %}")]),
        ("{# {{ a }} #}", [("comment", "{# {{ a }} #}")]),
        ("{#- a -#}", [("statement", "{#- a -#}")]),
        ("{% raw %}{{ a }}{% endraw %}", [("statement", "{% raw %}"), ("statement", "{% endraw %}")]),
        ("{%-raw-%}{#{%-endraw+%}", [("statement", "{%-raw-%}"), ("statement", "{%-endraw+%}")]),
    ],
)
def test_placeholders_are_found(source: str, found: list[tuple[str, str]]) -> None:
    assert [(one.kind, source[one.start : one.end]) for one in placeholders(source)] == found


@given(st.lists(fragments, max_size=12).map("".join))
def test_text_between_placeholders_is_what_the_engine_sees_as_text(source: str) -> None:
    environment = minijinja.Environment(undefined_behavior="chainable", keep_trailing_newline=True)
    try:
        environment.add_template("t", source)
        environment.render_template("t")
    except minijinja.TemplateError:
        assume(False)

    found = list(placeholders(source))
    marked = list(source)
    for one in reversed(found):
        marked[one.end : one.end] = "\ufdd5"
        marked[one.start : one.start] = "\ufdd4"
    # Were a boundary inside of what the engine reads as a placeholder, it would not compile, or print no mark.
    rendered = minijinja.Environment(undefined_behavior="chainable").render_str("".join(marked))
    if not any("{%" in source[one.start : one.end] for one in found):
        assert rendered.count("\ufdd4") == rendered.count("\ufdd5") == len(found)
    assert sum(source[one.start : one.end].count("{{") for one in found) >= source.count("{{") * (not found)
