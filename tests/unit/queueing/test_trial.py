"""A content that cannot be rendered, or shows nothing, is refused for all for whom that is so."""

from typing import Any

import msgspec
import pytest

from services.queueing import jobs
from services.queueing.compile import Limits
from shared.redis.recipients import Waiting
from shared.words.errors import Problem
from tests.jobs import read_job

NOW_MS = 1_700_000_000_000


def read(*recipients: dict[str, Any] | None, **fields: Any) -> jobs.Job:
    """The job, with a recipient for each map of variables."""
    rows = [
        {"email": f"r{index}@exemple.fr", "variables": variables or {}} for index, variables in enumerate(recipients)
    ]
    body = {"from": "News <news@exemple.fr>", "subject": "Bonjour", "html": "<p>x</p>", "recipients": rows, **fields}
    return read_job(msgspec.json.encode(body), open_job=False, now_ms=NOW_MS, max_recipients=10_000, limits=Limits())


def faults(*recipients: dict[str, Any] | None, **fields: Any) -> dict[str, str]:
    with pytest.raises(Problem) as caught:
        read(*recipients, **fields)
    assert caught.value.status == 422
    return {fault.at: fault.what for fault in caught.value.faults}


def rejected(job: jobs.Job) -> dict[int, str]:
    assert [one.rejected for one in job.waiting] == [
        {one.index: one.reason for one in job.rejected}.get(index) for index in range(len(job.waiting))
    ]
    return {one.index: one.reason for one in job.rejected}


@pytest.mark.parametrize("field", ["subject", "html", "text"])
@pytest.mark.parametrize(
    "source",
    ["{{ first-name }}", "{{ 1/0 }}", "{{ a + 1 }}", "{{ missing|length }}", "{{ a.upper() }}", "{{ a|round }}"],
)
def test_what_fails_for_all_that_are_tried_is_refused_in_words(field: str, source: str) -> None:
    before, line = ("Bonjour ", 1) if field == "subject" else ("Bonjour\n", 2)
    found = faults(*({"a": "x"} for _ in range(12)), **{field: before + source})

    assert list(found) == [f"$.{field}"]
    what = found[f"$.{field}"]
    assert f"line {line}, column " in what
    assert "for each of the 10 recipients that were tried" in what


def test_the_recipient_is_spoken_of_where_there_is_but_one() -> None:
    assert "for the recipient" in faults({}, html="<p>{{ a - b }}</p>")["$.html"]


def test_what_fails_for_some_is_taken() -> None:
    job = read({}, {}, {"first": 1, "name": 2}, html="<p>{{ first - name }}</p>")

    assert rejected(job) == {}


def test_each_that_fails_in_another_part_is_a_failure_of_its_mail() -> None:
    found = faults({"a": 1}, {"b": 1}, subject="{{ 1 + a }}", html="<p>{{ 1 + b }}</p>")

    assert set(found) == {"$.subject", "$.html"}


def test_who_is_rejected_is_not_tried() -> None:
    body = {
        "from": "a@exemple.fr",
        "subject": "x",
        "html": "{{ 1 + a }}",
        "recipients": [
            {"email": "nonsense", "variables": {}},
            {"email": "a@b.fr", "variables": {}, "optin": False},
            {"email": "b@b.fr", "variables": {"a": 1}},
        ],
    }

    job = read_job(msgspec.json.encode(body), open_job=False, now_ms=NOW_MS, max_recipients=10, limits=Limits())

    assert rejected(job) == {0: "invalid_address", 1: "not_opted_in"}


def test_without_recipients_only_what_fails_for_everybody_is_refused() -> None:
    for source, is_taken in (("{{ first-name }}", True), ("{{ a|nonsense }}", False)):
        body = msgspec.json.encode({"from": "a@exemple.fr", "subject": "x", "html": source})
        try:
            read_job(body, open_job=True, now_ms=NOW_MS, max_recipients=10, limits=Limits())
        except Problem:
            assert not is_taken
        else:
            assert is_taken


# Empty subjects and bodies


@pytest.mark.parametrize(
    "subject", ["", " ", "\u00a0\u200b", "{{ title }}", " {{ a.b }} ", "{# note #}", "{{ title|upper }}"]
)
def test_a_subject_that_is_empty_for_all_is_refused(subject: str) -> None:
    assert list(faults({"title": " "}, {"a": {}}, None, subject=subject)) == ["$.subject"]


@pytest.mark.parametrize("title", ["", "  \t", "\u00a0", "\u200b\ufeff", None])
def test_who_would_get_an_empty_subject_is_rejected(title: str | None) -> None:
    job = read({"title": "Soldes"}, {"title": title}, {}, {"title": 0}, subject="{{ title }}")

    assert rejected(job) == {1: "empty_subject", 2: "empty_subject"}


def test_a_default_fills_a_subject() -> None:
    assert rejected(read({}, {"title": ""}, subject="{{ title }}", variables={"title": "Soldes"})) == {
        1: "empty_subject"
    }


@pytest.mark.parametrize(
    "html",
    [
        "<p></p>",
        "<p>&nbsp;</p><br>",
        "<p>{{ words }}</p>",
        "<title>News</title><body><p>{{ words }}</p><img src='{{ picture }}'></body>",
        "{% if words %}<p>{{ words }}</p>{% endif %}<img src='https://a.fr/o.gif' width=1 height=1>",
        "<style>p{}</style>{# note #}",
    ],
)
def test_a_body_that_is_empty_for_all_is_refused(html: str) -> None:
    assert list(faults({"words": " "}, {"words": "\u00a0"}, None, html=html)) == ["$.html"]


def test_who_would_get_an_empty_body_is_rejected() -> None:
    source = "<p>{{ words }}</p><img src='{{ picture }}'>"

    job = read({"words": "a"}, {"picture": "https://a.fr/a.png"}, {}, {"words": "<>"}, html=source)

    assert rejected(job) == {2: "empty_body"}


def test_a_text_beside_an_empty_html_is_a_body() -> None:
    assert rejected(read({}, html="<p>{{ words }}</p>", text="Bonjour")) == {}
    assert list(faults({}, html="<p>{{ words }}</p>", text="{{ words }}")) == ["$.html"]
    assert rejected(read({}, {"words": "x"}, html=None, text="{{ words }}")) == {0: "empty_body"}


def test_what_always_shows_is_no_question() -> None:
    assert rejected(read({}, html="<p>{{ words }}</p><img src='https://a.fr/a.png'>")) == {}
    assert rejected(read({}, html="{{ words }}{{ unsubscribe_url }}", subject="{{ email }}")) == {}


# Variables that nobody has


def warned(job: jobs.Job) -> list[str]:
    return [fault.what.split("`")[1] for fault in job.warnings if fault.at == "$.recipients"]


def test_variables_that_no_recipient_has_are_named() -> None:
    source = (
        "x {{ nom }} {{ order.total }} {{ order.lines }} {{ ville }} {{ defaulted }} {{ email }} {{ unsubscribe_url }}"
        "{% for line in order.rows %}{{ line.price }}{{ loop.index }}{% endfor %}{{ items }}{{ range(2) }}{{ null }}"
    )

    job = read({"prenom": "Ana", "order": {"total": 1}}, {"ville": "Lille"}, html=source, variables={"defaulted": ""})

    assert warned(job) == ["items", "nom", "null", "order.lines", "order.rows"]
    assert all("no recipient has the variable" in fault.what for fault in job.warnings)


def test_without_logic_they_are_named_too() -> None:
    assert warned(read({"a": 1}, {"b": None}, html="{{ a }}{{ b }}{{ c.d }}", subject="x {{ e }}{{ name }}")) == [
        "b",
        "c.d",
        "e",
        "name",
    ]


def test_who_is_rejected_does_not_count() -> None:
    body = {
        "from": "a@exemple.fr",
        "subject": "x",
        "html": "x{{ a }}",
        "recipients": [{"email": "nonsense", "variables": {"a": 1}}, {"email": "b@b.fr"}],
    }

    job = read_job(msgspec.json.encode(body), open_job=False, now_ms=NOW_MS, max_recipients=10, limits=Limits())

    assert warned(job) == ["a"]


def test_waiting_recipients_stay_whole() -> None:
    (one,) = read({"a": 1}, subject="{{ a }}").waiting

    assert isinstance(one, Waiting)
    assert one.rejected is None


# Filters of the recipient's language


def test_what_a_filter_cannot_write_for_any_is_refused_with_its_place() -> None:
    found = faults({"total": "beaucoup"}, html='<p>\n  {{ total|money("EUR") }}</p>')

    assert found == {
        "$.html": "the template fails: line 2, column 12: money: 'beaucoup' is not a number; one is written 1234.5, "
        "at 'money(\"EUR\") }}</p>' (for the recipient)"
    }


def test_a_job_speaks_the_language_of_its_html() -> None:
    assert read({}, html='<html lang="de-AT"><body>{{ 1.5|number }}</body></html>').compiled.language == "de-AT"
