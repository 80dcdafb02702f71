"""The recipients' pages: in their language, with nothing from outside and nothing of the request."""

import re
from base64 import b64encode
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.tracking import consent_pages, pages
from services.tracking.about import NOTHING_KNOWN, About, Offered, shown_sender
from services.tracking.consent_words import VERSION, text_id
from services.tracking.consent_words import WORDS as CONSENT_WORDS
from services.tracking.page_words import WORDS
from shared.words import languages
from shared.words.languages import LANGUAGES
from shared.words.look import Look

MADE: dict[str, Callable[[About, str], pages.Page]] = {
    "leave": pages.leave,
    "left": pages.left,
    "back": pages.back,
    "preferences": consent_pages.preferences,
    "tracking": consent_pages.tracking,
    "saved": consent_pages.saved,
    "opted in": consent_pages.opted_in,
    "button": partial(consent_pages.opt_in, variant="button"),
    "box": partial(consent_pages.opt_in, variant="box", is_missing=True),
    "confirm": partial(consent_pages.opt_in, variant="confirm"),
}


def _body(make: Callable[[About, str], pages.Page], about: About, language: str) -> bytes:
    return make(about, language).body


def leave(language: str) -> bytes:
    return pages.leave(NOTHING_KNOWN, language).body


KNOWN = About(
    look=Look(
        "Chouette & Cie", "data:image/gif;base64,R0lGODlh", "#7a1f3d", "", "contact@exemple.fr", "", (("n", "N"),)
    ),
    sender="Chouette & Cie",
    list="n",
    address="ana@example.org",
    lists=(Offered("n", "News", True), Offered("o", "Offers", False)),
    answers={"email": "yes", "tracking": "no"},
    most=1,
    days=7,
)
LEFT = About(stopped="unsubscribed", address="ana@example.org")

#: Every page by its name, in a language.
PAGES: dict[str, Callable[[str], bytes]] = {
    "invalid": pages.invalid,
    "later": pages.later,
    **{
        f"{name} {about_name}": partial(_body, make, about)
        for about_name, about in (("nothing known", NOTHING_KNOWN), ("known", KNOWN), ("left", LEFT))
        for name, make in MADE.items()
    },
}
ASKING = ("leave", "preferences", "tracking", "button", "box", "confirm")
every_page = pytest.mark.parametrize("page", PAGES.values(), ids=list(PAGES))
every_language = pytest.mark.parametrize("language", sorted(WORDS))


class _Elements(HTMLParser):
    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(page.decode("utf-8"))
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in ("meta", "input", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


@pytest.mark.parametrize(
    ("accept_language", "expected"),
    [
        ("", "en"),
        ("fr-FR,fr;q=0.9,en;q=0.8", "fr"),
        ("en-GB", "en"),
        ("de;q=0.8, es;q=0.9", "es"),
        ("ja, nl;q=0.5, en;q=0.4", "nl"),
        ("IT-ch", "it"),
        ("pt-BR,pt;q=0.9", "pt"),
        ("ja,zh;q=0.9", "en"),
        ("*", "en"),
        ("en;q=0, de", "de"),
        ("en;q=x, de;q=0.1", "de"),
        ("en;q=7, de;q=0.1", "de"),
        ("de;q=nan, en;q=0.2", "en"),
        (",,;;==,", "en"),
        ("pl", "en"),
        ("fr-CA, pl;q=2", "fr"),
    ],
)
def test_the_reader_gets_the_language_wanted_most(accept_language: str, expected: str) -> None:
    assert languages.accepted(accept_language) == expected


@given(st.text())
def test_any_accept_language_leads_to_a_page(accept_language: str) -> None:
    assert leave(languages.accepted(accept_language))


def test_what_is_beyond_a_reasonable_length_is_not_looked_at() -> None:
    assert languages.accepted("x," * languages.MAX_ACCEPT_LANGUAGE_CHARS + "de") == "en"


@every_language
@every_page
def test_a_page_names_its_language_and_fits_a_telephone(page: Callable[[str], bytes], language: str) -> None:
    elements = _Elements(page(language))

    assert not elements.open
    assert elements.named("html") == [{"lang": language}]
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in elements.named("meta")
    assert len(elements.named("h1")) == len(elements.named("main")) == len(elements.named("title")) == 1


@every_language
@every_page
def test_a_page_loads_nothing_and_runs_nothing(page: Callable[[str], bytes], language: str) -> None:
    html = page(language)
    elements = _Elements(html)

    attributes = {name for _, found in elements.found for name in found}
    assert all(str(image["src"]).startswith("data:") for image in elements.named("img"))
    assert not attributes & {"href", "srcset", "action", "style", "background", "poster"}
    assert not {tag for tag, _ in elements.found} & {"script", "link", "iframe", "object", "a", "base"}
    assert b"url(" not in html
    assert b"@import" not in html
    assert len(html) < 12_000


def test_the_policy_allows_the_page_its_own_style_and_form_alone() -> None:
    style = re.search(rb"<style>(.*?)</style>", leave("en"), re.DOTALL)
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
@pytest.mark.parametrize("name", ASKING)
def test_a_page_that_asks_posts_to_itself_and_nothing_is_ticked_before(name: str, language: str) -> None:
    html = MADE[name](NOTHING_KNOWN, language).body
    elements = _Elements(html)

    assert elements.named("form") == [{"method": "post"}]
    assert len(elements.named("button")) == 1
    assert b" checked" not in html
    labels, inputs = html.count(b"<label><input "), elements.named("input")
    assert labels == len([one for one in inputs if one["type"] != "hidden"])
    assert {"type": "hidden", "name": "lang", "value": language} in inputs


@every_language
@pytest.mark.parametrize("name", ASKING)
def test_the_policy_of_each_page_allows_its_own_styles(name: str, language: str) -> None:
    page = MADE[name](KNOWN, language)

    styles = re.findall(rb"<style>(.*?)</style>", page.body, re.DOTALL)
    allowed = re.findall(r"'sha256-([^']*)'", page.headers["Content-Security-Policy"])
    assert [b64encode(sha256(style).digest()).decode() for style in styles] == allowed
    assert len(styles) == 2


def test_every_language_has_all_words() -> None:
    for table in (WORDS, CONSENT_WORDS):
        assert set(table) == set(LANGUAGES)
        for language, words in table.items():
            empty = [field for field, word in zip(words._fields, words, strict=True) if not word.strip()]
            assert not empty, language
            # What is the same as in English was forgotten, or is the same word.
            same = {f for f, word, other in zip(words._fields, words, table["en"], strict=True) if word == other}
            assert language == "en" or len(same) <= 2, (language, same)
    assert text_id("box", "de") == f"estafette-box-de-{VERSION}"


@every_language
def test_no_other_page_has_a_button(language: str) -> None:
    for html in (pages.invalid(language), pages.later(language)):
        assert not _Elements(html).named("form")
    for name in ("back", "saved", "opted in"):
        assert not _Elements(MADE[name](NOTHING_KNOWN, language).body).named("form")


# What is known of the mail


def test_a_page_says_who_writes_which_list_and_to_whom_and_not_the_whole_address() -> None:
    html = pages.leave(KNOWN, "en").body.decode()

    assert "<dd>Chouette &amp; Cie</dd>" in html
    assert "<dd>N</dd>" in html
    assert "<dd>a…@e….org</dd>" in html
    assert "ana@example.org" not in html
    assert 'alt="Chouette &amp; Cie"' in html
    assert "Contact: contact@exemple.fr" in html


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("ana@example.org", "a…@e….org"),
        ("é@mail.exemple.co.uk", "é…@m….uk"),
        ('"a@b"@x.fr', '"…@x….fr'),
        ("", ""),
        ("a@localhost", ""),
    ],
)
def test_an_address_is_masked(address: str, shown: str) -> None:
    assert pages.masked(address) == shown


@pytest.mark.parametrize(
    ("from_", "shown"),
    [
        ("Chouette <news@exemple.fr>", "Chouette"),
        ('"Chouette, SA" <news@exemple.fr>', "Chouette, SA"),
        ("news@exemple.fr", "news@exemple.fr"),
        ("{{ shop }} <news@exemple.fr>", "news@exemple.fr"),
        ("{{ shop }} <{{ box }}@exemple.fr>", ""),
        ("", ""),
    ],
)
def test_who_writes_is_what_the_tenant_is_called_or_the_sender_of_the_job(from_: str, shown: str) -> None:
    assert shown_sender(Look(), from_) == shown
    assert shown_sender(Look(name="Chouette"), from_) == "Chouette"


def test_a_second_visit_says_that_one_has_left_and_offers_to_take_it_back() -> None:
    left = pages.leave(LEFT, "en").body.decode()
    complained = pages.leave(About(stopped="complaint"), "en").body.decode()
    bad = pages.leave(About(stopped="hard_bounce"), "en").body.decode()

    assert WORDS["en"].already_title in left
    assert 'name="undo"' in left
    assert WORDS["en"].already_title in complained
    assert "<form" not in complained
    assert WORDS["en"].leave_title in bad


def test_what_was_said_before_is_ticked() -> None:
    html = consent_pages.preferences(KNOWN, "en").body.decode()

    checked = re.findall(r'name="(\w+)" value="([^"]*)" checked', html)
    assert checked == [("on", "0"), ("email", "yes"), ("often", "1/7"), ("tracking", "no")]


@given(st.text(), st.text(), st.text())
def test_nothing_that_a_tenant_says_becomes_markup(name: str, contact: str, title: str) -> None:
    about = About(look=Look(name, contact=contact, lists=(("n", title),)), sender=name, list="n")

    plain, html = _Elements(pages.leave(NOTHING_KNOWN, "en").body), _Elements(pages.leave(about, "en").body)

    tags = [tag for tag, _ in html.found if tag not in ("header", "footer", "dl", "div", "dt", "dd")]
    assert tags == [tag for tag, _ in plain.found]


@every_language
def test_one_click_is_answered_in_a_line_of_plain_text(language: str) -> None:
    answer = pages.left_plain(language).decode("utf-8")

    assert answer.count("\n") == 1
    assert answer.endswith("\n")
    assert "<" not in answer


@pytest.mark.parametrize("accent", ["#7a1f3d", "#0b0b0b", "#f2a7bf"])
def test_colours_of_the_tenant_stand_in_for_ours_in_both_schemes(accent: str) -> None:
    html = pages.leave(About(look=Look(accent=accent)), "en").body.decode()

    style = html.split("<style>")[2]
    assert f"--act:{accent};--on:#" in style
    # A colour that is not seen on the dark card leaves ours there.
    assert ("--act:#9ac7f2" in style) is (accent != "#f2a7bf")


def _luminance(colour: str) -> float:
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, other: str) -> float:
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_and_button_have_enough_contrast_in_both_schemes(scheme: int) -> None:
    style = leave("en").decode()
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
