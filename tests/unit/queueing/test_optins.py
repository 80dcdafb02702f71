"""The mail that asks to confirm an opt-in: in the recipient's language, with one link, nothing of it a template."""

import msgspec
import pytest

from services.queueing import jobs, optins
from services.queueing.optin_words import WORDS
from shared.words.languages import LANGUAGES
from shared.words.look import Look

LOOK = Look(name="{{ x }} <b>", accent="#7a1f3d", lists=(("news", "La lettre"),))


def job(language: str = "fr", list_: str = "news", look: Look = LOOK) -> jobs.JobRequest:
    made = optins.job("ana@exemple.fr", "Ana", "Chouette <n@exemple.fr>", list_, look, look.name, language)
    return msgspec.json.decode(made, type=jobs.JobRequest)


def test_every_language_has_all_words() -> None:
    assert set(WORDS) == set(LANGUAGES)
    for language, words in WORDS.items():
        assert all(word.strip() for word in words), language
        assert "{{ sender }}" in words.text
        assert "{{ list }}" in words.of_list


@pytest.mark.parametrize("language", LANGUAGES)
def test_it_is_transactional_and_tracks_nothing_and_has_one_link(language: str) -> None:
    made = job(language)

    assert (made.stream, made.list_, made.track.opens, made.track.clicks) == ("transactional", "news", False, False)
    assert made.html is not None
    assert made.html.count("href=") == 1
    assert '<a href="{{ opt_in_url }}?confirm"' in made.html
    assert "{{ opt_in_url }}?confirm" in (made.text or "")
    assert jobs.language_of(made.html) == language


def test_what_a_tenant_calls_itself_is_a_variable_and_no_template() -> None:
    made = job()

    assert "<b>" not in (made.html or "")
    assert made.variables == {"sender": "{{ x }} <b>", "list": "La lettre"}


def test_without_a_list_none_is_named() -> None:
    made = job(list_="")

    assert made.list_ is None
    assert "{{ list }}" not in (made.html or "") + (made.text or "")


@pytest.mark.parametrize(
    ("html", "language"),
    [
        ('<!DOCTYPE html><html lang="de-AT">', "de-AT"),
        ("<HTML xmlns='x' LANG=fr >", "fr"),
        ("<html lang='{{ lang }}'>", ""),
        ("<html><p lang='de'>", ""),
        ("<html data-lang='de'>", ""),
        ("", ""),
        ("<html " + "x" * 3000 + " lang='de'>", ""),
    ],
)
def test_the_language_of_a_mail_is_that_of_its_html(html: str, language: str) -> None:
    assert jobs.language_of(html) == language
