"""What placeholders stand in is found in one walk, whatever the source."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.queueing import contexts
from services.queueing.placeholders import placeholders
from tests.steps import calls


def work(source: str) -> int:
    """How many functions are called to walk through it."""
    found = list(placeholders(source))
    return calls(lambda: contexts.look(source, found))


@pytest.mark.parametrize("before", ["", "<p ", "<p a='", "<script>'", "<!--", "{% if a %}<p b={% endif %}"])
@pytest.mark.parametrize(
    "source",
    [
        "<p {{ a }}", "{{ a }}", " a={{ a }}", "<!--", "<!--[if", "<script>", "\"'", "<a  b  =  ", "<style>{{ a }}",
        "<p a=x{% if b %}y{% endif %}", "<p onclick={{ a }}&quot;", "{{ 'a' if b        }}", "</", "<a b=c d='e'>f</a>",
        "{% if a %}<p a='{% else %}<p b=\"{% endif %}{{ x }}", "{% if a %}<p a={% endif %}", "{% set a %}'{% endset %}",
        "{% for a in b %}<p c={{ a }}{% endfor %}",
    ],
)  # fmt: skip
def test_twice_the_source_is_twice_the_work(source: str, before: str) -> None:
    first, second = (work(before + source * times + "{{ z }}") for times in (200, 400))

    assert second <= 2.2 * first + 100
    assert first <= 200 * 40 * contexts.MAX_STATES


@settings(deadline=None)
@given(st.text("<>/='\" ab!-{}%#\n", max_size=80))
def test_every_source_is_walked_to_its_end(source: str) -> None:
    found = list(placeholders(source))

    looked = contexts.look(source, found)

    assert all(0 <= value.start <= value.end <= len(source) for value in looked.values)
    assert all(0 <= begin <= end <= len(source) for begin, end in looked.quotes)
    assert set(looked.code) <= set(range(len(found)))
