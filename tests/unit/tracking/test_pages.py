"""The recipients' pages: in their language, with nothing from outside and nothing of the request."""

import re
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.tracking import consent_pages, pages


def opt_in_button(language: str) -> bytes:
    return consent_pages.opt_in(language, box=False)


def opt_in_box(language: str) -> bytes:
    return consent_pages.opt_in(language, box=True, is_missing=True)


PAGES = (
    pages.leave, pages.left, pages.invalid, pages.later,
    consent_pages.preferences, consent_pages.saved, opt_in_button, opt_in_box, consent_pages.opted_in,
)  # fmt: skip
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.__name__)
every_language = pytest.mark.parametrize("language", sorted(pages.WORDS))


class _Elements(HTMLParser):
    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(page.decode("utf-8"))
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in ("meta", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


@pytest.mark.parametrize(
    ("accept_language", "expected"),
    [
        ("", "fr"),
        ("fr-FR,fr;q=0.9,en;q=0.8", "fr"),
        ("en-GB", "en"),
        ("de;q=0.8, es;q=0.9", "es"),
        ("ja, nl;q=0.5, en;q=0.4", "nl"),
        ("IT-ch", "it"),
        ("pt-BR,pt;q=0.9", "pt"),
        ("ja,zh;q=0.9", "fr"),
        ("*", "fr"),
        ("en;q=0, de", "de"),
        ("en;q=x, de;q=0.1", "de"),
        ("en;q=7, de;q=0.1", "de"),
        ("de;q=nan, en;q=0.2", "en"),
        (",,;;==,", "fr"),
    ],
)
def test_the_reader_gets_the_language_wanted_most(accept_language: str, expected: str) -> None:
    assert pages.language(accept_language) == expected


@given(st.text())
def test_any_accept_language_leads_to_a_page(accept_language: str) -> None:
    assert pages.leave(accept_language)


def test_what_is_beyond_a_reasonable_length_is_not_looked_at() -> None:
    assert pages.language("x," * pages.MAX_ACCEPT_LANGUAGE_CHARS + "de") == "fr"


@every_language
@every_page
def test_a_page_names_its_language_and_fits_a_telephone(page, language: str) -> None:  # type: ignore[no-untyped-def]
    elements = _Elements(page(language))

    assert not elements.open
    assert elements.named("html") == [{"lang": language}]
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in elements.named("meta")
    assert len(elements.named("h1")) == len(elements.named("main")) == len(elements.named("title")) == 1


@every_language
@every_page
def test_a_page_loads_nothing_and_runs_nothing(page, language: str) -> None:  # type: ignore[no-untyped-def]
    html = page(language)
    elements = _Elements(html)

    attributes = {name for _, found in elements.found for name in found}
    assert not attributes & {"src", "href", "srcset", "action", "style", "background", "poster"}
    assert not {tag for tag, _ in elements.found} & {"script", "link", "img", "iframe", "object", "a", "base"}
    assert b"url(" not in html
    assert b"@import" not in html
    assert len(html) < 4096


def test_the_policy_allows_the_page_its_own_style_and_form_alone() -> None:
    style = re.search(rb"<style>(.*?)</style>", pages.leave("en"), re.DOTALL)
    assert style is not None
    digest = b64encode(sha256(style[1]).digest()).decode()

    policy = dict(part.strip().split(" ", 1) for part in pages.HEADERS["Content-Security-Policy"].split(";"))

    assert policy == {
        "default-src": "'none'",
        "style-src": f"'sha256-{digest}'",
        "form-action": "'self'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
    }


def test_no_copy_is_kept_and_the_address_is_not_passed_on() -> None:
    assert pages.HEADERS["Cache-Control"] == "no-store"
    assert pages.HEADERS["Referrer-Policy"] == "no-referrer"
    assert pages.HEADERS["X-Robots-Tag"] == "noindex, nofollow"
    assert pages.HEADERS["X-Content-Type-Options"] == "nosniff"


@every_language
def test_the_page_to_leave_has_one_button_that_posts_to_the_page_itself(language: str) -> None:
    elements = _Elements(pages.leave(language))

    assert elements.named("form") == [{"method": "post"}]
    assert elements.named("button") == [{"name": "by", "value": "page"}]


@every_language
@pytest.mark.parametrize("page", [consent_pages.preferences, opt_in_button, opt_in_box])
def test_a_page_that_asks_posts_to_itself_and_nothing_is_ticked_before(page, language: str) -> None:  # type: ignore[no-untyped-def]
    html = page(language)
    elements = _Elements(html)

    assert elements.named("form") == [{"method": "post"}]
    assert elements.named("button") == [{"name": "by", "value": "page"}]
    assert b"checked" not in html
    labels, inputs = html.count(b"<label><input "), elements.named("input")
    assert labels == len([one for one in inputs if one["type"] != "hidden"])


def test_every_language_has_words_for_consent() -> None:
    assert set(consent_pages.WORDS) == set(pages.WORDS)
    assert consent_pages.text_id("box", "de-AT") == f"estafette-box-de-{consent_pages.VERSION}"


@every_language
def test_no_other_page_has_a_button(language: str) -> None:
    for page in (pages.left, pages.invalid, pages.later, consent_pages.saved, consent_pages.opted_in):
        assert not _Elements(page(language)).named("form")


@every_language
def test_one_click_is_answered_in_a_line_of_plain_text(language: str) -> None:
    answer = pages.left_plain(language).decode("utf-8")

    assert answer.count("\n") == 1
    assert answer.endswith("\n")
    assert "<" not in answer


def _luminance(colour: str) -> float:
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, other: str) -> float:
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_and_button_have_enough_contrast_in_both_schemes(scheme: int) -> None:
    style = pages.leave("en").decode()
    schemes = [
        {
            name: value if len(value) == 7 else "#" + "".join(c * 2 for c in value[1:])
            for name, value in re.findall(r"--(\w+):(#[0-9a-f]+)", block)
        }
        for block in re.findall(r":root\{(.*?)\}", style)
    ]
    colours = schemes[scheme]

    assert _contrast(colours["ink"], colours["card"]) >= 7
    assert _contrast(colours["soft"], colours["card"]) >= 7
    assert _contrast(colours["on"], colours["act"]) >= 7
    assert _contrast(colours["act"], colours["card"]) >= 3
