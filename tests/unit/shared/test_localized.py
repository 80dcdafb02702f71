"""Dates, numbers, money and plurals are written as the recipient's language does, and nothing else goes wrong."""

import subprocess
import sys
from decimal import Decimal
from typing import Any

import pytest
from babel import Locale, numbers
from hypothesis import given
from hypothesis import strategies as st

from shared.mail import localized
from shared.mail.templates import LOCALIZED, TemplateFailed, Templates

THIN, HARD = "\u202f", "\u00a0"


def rendered(expression: str, of_job: str = "fr", **values: Any) -> str:
    return Templates({"text": "{{ " + expression + " }}"}, language=of_job).render("text", values)


@pytest.mark.parametrize(
    ("expression", "language", "text"),
    [
        ('"2026-02-01"|date', "fr", "1 févr. 2026"),
        ('"2026-02-01"|date("long")', "de", "1. Februar 2026"),
        ('"2026-02-01"|date("full")', "en", "Sunday, February 1, 2026"),
        ('"2026-02-01"|date("EEEE d MMMM")', "es", "domingo 1 febrero"),
        ('"2026-02-01T07:30:00Z"|date("short", "Pacific/Auckland")', "fr", "01/02/2026"),
        ('"2026-02-01T23:30:00Z"|date("short", "Europe/Paris")', "fr", "02/02/2026"),
        ('"2026-02-01T07:30:00Z"|time', "fr", "07:30"),
        ('"2026-02-01T07:30:00+01:00"|time', "en", f"7:30{THIN}AM"),
        ('"2026-02-01T07:30:00Z"|datetime("short", "Europe/Paris")', "de", "01.02.26, 08:30"),
        ('"2026-02-01T07:30"|datetime("short")', "it", "01/02/26, 07:30"),
        ("1234567.891|number", "fr", f"1{THIN}234{THIN}567,891"),
        ("1234.5|number(2)", "de", "1.234,50"),
        ('"0.125"|number(2)', "en", "0.13"),
        ("12|money('EUR')", "fr", f"12,00{HARD}€"),
        ("1234.5|money('USD')", "en", "$1,234.50"),
        ("2.675|money('EUR')", "de", f"2,68{HARD}€"),
        ("1234|money('JPY')", "en", "¥1,234"),
        ("0.256|percent", "en", "26%"),
        ("0.256|percent(1)", "fr", f"25,6{HARD}%"),
        ('0|plural("{n} article", "{n} articles")', "fr", "0 article"),
        ('0|plural("{n} item", "{n} items")', "en", "0 items"),
        ('1200|plural("{n} article", "{n} articles")', "fr", f"1{THIN}200 articles"),
        ('3|plural(one="{n} plik", few="{n} pliki", many="{n} plików", other="{n} pliku")', "pl", "3 pliki"),
    ],
)
def test_a_value_is_written_as_the_language_does(expression: str, language: str, text: str) -> None:
    assert rendered(expression, language) == text


def test_the_language_is_the_recipients_then_the_jobs_then_french() -> None:
    assert rendered("1.5|number", "de", language="en-GB") == "1.5"
    assert rendered("1.5|number", "en", language="nobody's") == "1.5"
    assert rendered("1.5|number", "en", language=7) == "1.5"
    assert rendered('"2026-02-01"|date', "xx") == "1 févr. 2026"
    assert rendered('"2026-02-01"|date("d MMMM")', "de", language="pt_BR") == "1 fevereiro"
    assert rendered('"2026-02-01"|date("d MMMM")', "", language="fr-XX-nonsense") == "1 février"


def test_the_time_zone_is_the_filters_then_the_recipients_then_the_moments_own() -> None:
    at = '"2026-02-01T07:30:00Z"|time'

    assert rendered(at, time_zone="Asia/Tokyo") == "16:30"
    assert rendered(at + '("short", "Europe/Paris")', time_zone="Asia/Tokyo") == "08:30"
    assert rendered(at, time_zone="Mars/Olympus") == "07:30"
    assert rendered('"2026-02-01"|date', time_zone="Asia/Tokyo") == "1 févr. 2026"


@pytest.mark.parametrize("name", LOCALIZED)
def test_what_nothing_defines_stays_empty(name: str) -> None:
    assert rendered(f"nothing|{name}|default('—', true)") == "—"


def test_they_may_be_mapped_and_stand_in_blocks() -> None:
    assert rendered("[1.5, 2]|map('number')|join(' ')") == "1,5 2"
    assert Templates({"text": "{% filter number %}1.5{% endfilter %}"}).render("text", {}) == "1,5"
    assert (
        Templates({"html": "{{ n|plural('<b>{n}</b>', 'x') }}"}).render("html", {"n": 1}) == "&lt;b&gt;1&lt;&#x2f;b&gt;"
    )


@pytest.mark.parametrize(
    ("expression", "what"),
    [
        ('"01/02/2026"|date', "date: '01/02/2026' is not a date"),
        ("20260201|date", "date: 20260201 is not a date"),
        ('"2026-02-30"|date', "date: '2026-02-30' is not a date"),
        ('"2026-02-01"|date("lng")', "date: 'lng' is none of short, medium, long, full"),
        ('"2026-02-01"|time', "time: a day has no time"),
        ('"2026-02-01T07:30:00Z"|time("short", "Mars/Olympus")', "time: 'Mars/Olympus' is not a time zone"),
        ('"2026-02-01T07:30:00Z"|time("short", "../../etc/passwd")', "is not a time zone"),
        ('"abc"|number', "number: 'abc' is not a number"),
        ('"1.234,5"|number', "is not a number"),
        ("true|number", "number: True is not a number"),
        ('"nan"|number', "'nan' is not a number"),
        ('"1e999999999"|number', "more than 20 digits"),
        ("[1]|number", "what it was given is not a number"),
        ("1|number(99)", "decimals are a number from 0 to 10"),
        ("1|money", 'money: it does not take these words: it is written money("EUR")'),
        ("1|money('euros')", "money: 'euros' is not a currency"),
        ("1|plural('{n} article')", "plural: it needs a form for `other`"),
        ("1|plural(une='x', other='y')", "plural: une is none of zero, one, two"),
        ("1|plural(7, 'x')", "plural: a form is a text"),
        ('"2026-02-01T07:30:00Z"|date("HH:mm")', "date: 'HH:mm' is none of short"),
    ],
)
def test_what_a_filter_cannot_write_is_named(expression: str, what: str) -> None:
    with pytest.raises(TemplateFailed) as caught:
        rendered(expression)

    assert what in str(caught.value)
    assert "Error" not in str(caught.value)


def test_where_it_stands_is_known_where_it_stands_once() -> None:
    once = Templates({"text": "x\n{{ a }} {{ a|number }} number|"}, located=True)
    twice = Templates({"text": "{{ 1|number }} {{ a|number }}"}, located=True)

    with pytest.raises(TemplateFailed) as first:
        once.render("text", {"a": "b"})
    with pytest.raises(TemplateFailed) as second:
        twice.render("text", {"a": "b"})

    assert (first.value.offset, second.value.offset) == (15, -1)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=70) | st.datetimes().map(str),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=3), inner, max_size=3),
    max_leaves=4,
)
languages = st.sampled_from(["fr", "de", "en", "ar", "pt-BR", "zh_Hant", "", "x", "\x00"]) | anything


@given(st.sampled_from(LOCALIZED), anything, st.lists(anything, max_size=2), languages, anything)
def test_nothing_but_template_failed_is_raised(
    name: str, value: Any, words: list[Any], language: Any, zone: Any
) -> None:
    called = ", ".join(f"w{at}" for at in range(len(words)))
    template = Templates({"text": "{{ v|" + name + (f"({called})" if words else "") + " }}"})
    values = {"v": value, "language": language, "time_zone": zone} | {f"w{at}": word for at, word in enumerate(words)}

    try:
        assert len(template.render("text", values)) < 10_000
    except TemplateFailed as failed:
        assert str(failed).startswith(f"{name}: ")


@given(
    st.datetimes().map(lambda at: at.isoformat()) | st.dates().map(str),
    st.sampled_from(["short", "medium", "long", "full", "d MMMM y", "EEEE", "HH:mm zzzz", "QQQ w"]),
    st.sampled_from(["fr", "en", "de", "ar", "ja"]),
    st.sampled_from(["Europe/Paris", "UTC", "America/New_York", "Asia/Kolkata"]),
    st.sampled_from(["date", "time", "datetime"]),
)
def test_every_day_can_be_written(day: str, style: str, language: str, zone: str, name: str) -> None:
    template = Templates({"text": "{{ v|" + name + "(style, zone) }}"}, language=language)

    try:
        assert template.render("text", {"v": day, "style": style, "zone": zone})
    except TemplateFailed as failed:
        assert "a day has no time" in str(failed) or "is none of short" in str(failed)


@given(
    st.decimals(min_value=-(10**12), max_value=10**12, places=3, allow_nan=False),
    st.sampled_from(["fr", "en", "de", "es", "it", "nl", "pt", "pl", "fr-CH", "de-AT"]),
)
def test_a_number_that_is_written_can_be_read_again(number: Decimal, language: str) -> None:
    text = rendered("v|number", language, v=str(number))

    assert numbers.parse_decimal(text, Locale.parse(language, sep="-" if "-" in language else "_")) == number


def test_babel_is_not_loaded_where_no_template_asks_for_it() -> None:
    program = (
        "import sys; from shared.making import rendering; from shared.mail.templates import Templates;"
        "Templates({'text': '{{ a|upper }}'}).render('text', {}); print('babel' in sys.modules);"
        "Templates({'text': '{{ a|number }}'}); print('babel' in sys.modules)"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["False", "True"]


def test_zones_are_names_of_the_database() -> None:
    assert localized.zone_of("Europe/Paris") is not None
    assert localized.zone_of("Europe") is None
    assert localized.zone_of("a/../b") is None
