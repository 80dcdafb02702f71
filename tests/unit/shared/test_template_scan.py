"""The scan bounds what nests, says where, and leaves honest templates alone."""

import pytest

from shared.mail.template_scan import MAX_CHAIN, InvalidTemplate, scan
from shared.mail.templates import (
    TemplateFailed,
    Templates,
    is_deeper,
    printed,
)
from tests.hostile_templates import DEEP


@pytest.mark.parametrize("name", DEEP)
def test_what_nests_without_end_is_refused(name: str) -> None:
    with pytest.raises(InvalidTemplate) as caught:
        scan("<p>\n" + DEEP[name])

    assert caught.value.line == 2
    assert caught.value.column >= 1
    assert len(caught.value.what) < 200


@pytest.mark.parametrize(
    "source",
    [
        "{% set colours = {" + ", ".join(f"'c{n}': -{n}.5" for n in range(500)) + "} %}{{ colours.c1 }}",
        "{{ a" + " ~ ' ' ~ b" * 60 + " }}",
        "{% for a in b %}{% if a.x %}{{ a.x|upper|trim }}{% elif a.y %}{{ a.y[0] }}{% endif %}{% endfor %}" * 500,
        "{{ name }}" * 10_000,
        "{% raw %}{{ " + "-" * 10_000 + "{% endraw %}",
        "{# " + "-" * 10_000 + "#}",
        "<script>a = {b: '{', c: [[[[" + "-" * 10_000 + "</script>",
        "{{ {'a': [1, {'b': 2}]}['a'][1]['b'] }}",
        "{{ 'it\\'s }} here' }}",
    ],
)
def test_what_is_honest_passes(source: str) -> None:
    scan(source)


@pytest.mark.parametrize(
    ("source", "plain"),
    [
        ("a {{ b }} {{ c.d }} {# e #}", True),
        ("{{ a|upper }}", False),
        ("{% if a %}{% endif %}", False),
        ("{#- a -#}", False),
        ("{{ -a }}", False),
        ("{% raw %}a{% endraw %}", False),
    ],
)
def test_plain_is_what_has_variables_and_comments_alone(source: str, plain: bool) -> None:
    assert scan(source).plain is plain


@pytest.mark.parametrize("link", ["-", "not "])
def test_the_engine_bears_what_the_scan_lets_through(link: str) -> None:
    Templates({"text": "{{ " + link * MAX_CHAIN + "1 }}"})

    with pytest.raises(InvalidTemplate):
        Templates({"text": "{{ " + link * (MAX_CHAIN + 1) + "1 }}"})


@pytest.mark.parametrize(
    ("value", "levels"),
    [(1, 0), ([], 0), ([1], 1), ({"a": [1]}, 2), ([[]], 1), ([1, {"a": 1}, [[2]]], 3), ([{}, {"a": {}}], 2)],
)
def test_how_deep_a_value_is(value: object, levels: int) -> None:
    assert not is_deeper(value, levels)
    assert levels == 0 or is_deeper(value, levels - 1)


def test_a_value_nested_deeply_is_not_printed() -> None:
    deep: list[object] = []
    for _ in range(42_000):
        deep = [deep]

    assert is_deeper(deep, 1_000)
    with pytest.raises(TemplateFailed):
        printed(deep)
    assert printed([[1]]) == "[[1]]"
