"""The content of a job is shown as it was written, with the places of its counted links."""

from services.reports.job_content import job_content
from shared.words.content import CompiledContent
from tests.jobs import compile_job


def html_of(html: str) -> str | None:
    compiled = compile_job(subject="Soldes", html=html, text="Bonjour")
    assert isinstance(compiled, CompiledContent), compiled
    return job_content("068vjfm5s9m2rc1jqqrg", compiled).html


def test_what_is_static_is_shown_with_its_variables_and_the_places_of_its_links() -> None:
    shown = html_of('<p>Été {{ prenom }} = <a href="https://exemple.fr/a?x=1&amp;y=2">A</a>{{ unsubscribe_url }}</p>')

    assert shown == '<p>Été {{ prenom }} = <a href="#link-0">A</a>{{ unsubscribe_url }}</p>'


def test_what_has_logic_is_shown_with_it() -> None:
    shown = html_of('<p>{% if vip %}<a href="https://exemple.fr/{{ code }}">A</a>{% endif %}é</p></body>')

    assert shown == '<p>{% if vip %}<a href="#link-0">A</a>{% endif %}é</p></body>'


def test_a_mail_of_text_alone_has_none() -> None:
    compiled = compile_job(subject="Soldes", text="Bonjour")
    assert isinstance(compiled, CompiledContent)

    assert job_content("068vjfm5s9m2rc1jqqrg", compiled).html is None
