"""An AMP part stands between text and HTML, with what AMP asks for, and is not tracked."""

from typing import Any

import pytest

from services.queueing.amp import EXAMPLE
from shared.words.content import CompiledContent, Link, Part, Pixel, Variable
from shared.words.errors import Fault
from tests.jobs import compile_job


def compiled(**fields: Any) -> CompiledContent:
    found = compile_job(**({"html": "<p>a</p>", "text": "a", "amp": EXAMPLE} | fields))
    assert isinstance(found, CompiledContent), found
    return found


def faults(amp: str) -> list[Fault]:
    found = compile_job(html="<p>a</p>", amp=amp)
    assert isinstance(found, list)
    return found


def amp_part(found: CompiledContent) -> Part:
    return next(one for one in found.body if isinstance(one, Part) and one.kind == "amp")


def test_it_stands_between_the_text_and_the_html() -> None:
    found = compiled()

    assert [one.kind for one in found.body if isinstance(one, Part)] == ["text", "amp", "html"]
    types = [one for one in found.body if isinstance(one, bytes) and b"Content-Type: text/x-amp-html;" in one]
    assert len(types) == 1


def test_it_has_variables_and_neither_links_nor_a_pixel() -> None:
    found = compiled(amp=EXAMPLE.replace("</body>", '<a href="https://a.fr/">a</a></body>'))

    segments = amp_part(found).segments
    assert [one for one in segments if isinstance(one, Variable)] == [Variable(("prenom",))]
    assert not any(isinstance(one, Link | Pixel) for one in segments)
    assert found.links == []
    assert "prenom" in found.uses


def test_with_logic_it_is_a_template() -> None:
    assert amp_part(compiled(amp=EXAMPLE.replace("{{ prenom }}", "{{ prenom|upper }}"))).template.endswith(
        "Bonjour {{ prenom|upper }}</body></html>\n"
    )


@pytest.mark.parametrize(
    ("gone", "what"),
    [
        (" ⚡4email", "has no `<html ⚡4email>`"),
        ("https://cdn.ampproject.org/v0.js", "does not load AMP"),
        (" amp4email-boilerplate", "has no boilerplate"),
    ],
)
def test_what_amp_asks_for_is_missed(gone: str, what: str) -> None:
    (fault,) = faults(EXAMPLE.replace(gone, ""))

    assert fault.at == "$.amp"
    assert fault.what.startswith(what)


def test_it_has_200_kb_at_most() -> None:
    assert faults(EXAMPLE + "x" * 200_000)[0].what.endswith("at most 200000")


def test_its_templates_are_checked() -> None:
    assert faults(EXAMPLE.replace("{{ prenom }}", "{{ prenom"))[0].at == "$.amp"
    assert faults(EXAMPLE.replace("{{ prenom }}", "{{ 1|nothing }}"))[0].at == "$.amp"
    assert faults(EXAMPLE.replace("{{ prenom }}", '<a href="javascript:1">a</a>'))[0].at == "$.amp"


def test_it_is_no_content_by_itself() -> None:
    found = compile_job(amp=EXAMPLE)

    assert isinstance(found, list)
    assert found[0].at == "$.html"
