"""The pages on which recipients leave: to leave, having left, having left before, back again; a link that is not valid,
a bad moment. And what every page of ours is made of.

Rules: no script, no external resource but the logo that a tenant chose, nothing of the request in the page. Forms post
to where the page is, and carry the language in which they were shown. A page that is about nobody is made once for each
language, when the module is loaded; the others are made of what is known of the mail (`about`), and of the tenant's
look.
"""

from base64 import b64encode
from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha256
from html import escape
from typing import NamedTuple

from services.tracking.about import About
from services.tracking.page_words import WORDS, Words
from shared.words.languages import accepted
from shared.words.look import CARD_DARK, MIN_CONTRAST, NOTHING_CHOSEN, Look, contrast, ink_on, logo_source

# Contrast of text is at least 7:1 in both schemes, of the button and the focus ring 3:1 (WCAG 2.2); the button is 48 px
# high.
_STYLE = """
:root{color-scheme:light dark;--paper:#f4f2ed;--card:#fff;--line:#dcd8ce;--ink:#1b2127;--soft:#47525d;--act:#174a7a;--on:#fff}
@media (prefers-color-scheme:dark){:root{--paper:#121518;--card:#1b2024;--line:#353c43;--ink:#eef1f3;--soft:#b6bfc8;--act:#9ac7f2;--on:#0b1b2b}}
*{box-sizing:border-box}
body{margin:0;min-height:100vh;min-height:100svh;display:grid;place-items:center;padding:1.25rem;background:var(--paper);color:var(--ink);font:1.0625rem/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",sans-serif;overflow-wrap:break-word}
main{width:100%;max-width:32rem;padding:clamp(1.5rem,6vw,2.75rem);background:var(--card);border:1px solid var(--line);border-radius:.75rem}
h1{margin:0 0 .75rem;font-size:1.625rem;line-height:1.25;text-wrap:balance}
p,form{margin:0 0 1.25rem;text-wrap:pretty}
p:last-child{margin-bottom:0}
button{min-height:3rem;padding:.6rem 1.5rem;border:1px solid transparent;border-radius:.5rem;background:var(--act);color:var(--on);font:inherit;font-weight:600;cursor:pointer}
button:hover{text-decoration:underline;text-underline-offset:.2em}
:focus-visible{outline:3px solid var(--act);outline-offset:3px}
fieldset{margin:0 0 1.5rem;padding:0;border:0}
legend{margin:0 0 .25rem;padding:0;font-weight:600}
fieldset p{margin-bottom:.5rem}
label{display:flex;gap:.75rem;align-items:flex-start;min-height:3rem;padding:.65rem 0;cursor:pointer}
input[type=radio],input[type=checkbox]{flex:none;width:1.5rem;height:1.5rem;margin:0;accent-color:var(--act)}
label+button{margin-top:1rem}
[role=alert]{font-weight:600}
.soft,dl,footer{color:var(--soft);font-size:.9375rem}
header{margin:0 0 1.5rem;font-weight:600}
header img{display:block;max-width:100%;max-height:4rem}
dl{margin:0 0 1.25rem}
dl div{display:flex;flex-wrap:wrap;gap:0 .5rem}
dt::after{content:":"}
:lang(fr) dt::after{content:"\u00a0:"}
dd{margin:0;color:var(--ink);min-width:0;overflow-wrap:anywhere}
footer{margin:1.5rem 0 0;padding:1rem 0 0;border-top:1px solid var(--line)}
@media (max-width:30rem){button{width:100%}}
""".strip()  # noqa: E501

#: What the button sends, so that it is told from a mail program's one click.
BUTTON_FIELD = ("by", "page")
#: What forms say besides: why somebody leaves, that they take it back, and in which language they were asked.
WHY_FIELD, UNDO_FIELD, LANGUAGE_FIELD = "why", "undo", "lang"
#: The event that a form to leave, or to come back, follows.
EVENT_FIELD = "event"
#: Looks that are kept as they are drawn; each may have a logo of some 90 kB.
_DRESSES = 100


class Page(NamedTuple):
    """A page of ours, and the headers that go with it."""

    body: bytes
    headers: Mapping[str, str]


class Dress(NamedTuple):
    """A look as it is drawn: above the page, below it, and in its style; and what the browser may load for it."""

    header: str = ""
    contact: str = ""
    style: str = ""
    headers: Mapping[str, str] = {}


def _headers(styles: tuple[str, ...], images: str = "") -> Mapping[str, str]:
    """Nothing is loaded but what is named, nothing runs, nothing frames the page, and its form goes nowhere else. No
    copy is kept anywhere, no search engine lists it, and where the reader goes next does not learn the address, which
    holds the token."""
    hashes = " ".join(f"'sha256-{b64encode(sha256(style.encode()).digest()).decode()}'" for style in styles)
    return {
        "Content-Type": "text/html; charset=utf-8",
        "Content-Security-Policy": (
            f"default-src 'none'; style-src {hashes}; {images}form-action 'self'; base-uri 'none'; "
            "frame-ancestors 'none'"
        ),
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "X-Robots-Tag": "noindex, nofollow",
        "Vary": "Accept-Language",
    }


#: Of pages in no tenant's look.
HEADERS = _headers((_STYLE,))
_UNDRESSED = Dress(headers=HEADERS)


@lru_cache(_DRESSES)
def dress(look: Look) -> Dress:
    """The look, drawn. What is not chosen is ours."""
    style = _colours(look)
    name = escape(look.name)
    if look.logo:
        header = f'<header><img src="{escape(look.logo)}" alt="{name}"></header>\n'
    else:
        header = f"<header>{name}</header>\n" if name else ""
    source = logo_source(look.logo)
    styles = (_STYLE, style) if style else (_STYLE,)
    return Dress(header, escape(look.contact), style, _headers(styles, f"img-src {source}; " if source else ""))


def _colours(look: Look) -> str:
    """Buttons and marks in the tenant's colours, in both schemes."""
    dark = look.accent_dark
    if not dark and look.accent and contrast(look.accent, CARD_DARK) >= MIN_CONTRAST:
        dark = look.accent
    light = f":root{{--act:{look.accent};--on:{ink_on(look.accent)}}}" if look.accent else ""
    # Ours again in the dark, where theirs would not be seen: what stands last holds.
    ours = "--act:#9ac7f2;--on:#0b1b2b" if light else ""
    theirs = f"--act:{dark};--on:{ink_on(dark)}" if dark else ours
    return light + (f"@media (prefers-color-scheme:dark){{:root{{{theirs}}}}}" if theirs else "")


def page(language: str, title: str, content: str, dressed: Dress = _UNDRESSED) -> Page:
    """A whole page of ours."""
    style = f"<style>{dressed.style}</style>\n" if dressed.style else ""
    contact = WORDS[language].contact
    footer = f"<footer>{escape(contact)}{colon(language)} {dressed.contact}</footer>\n" if dressed.contact else ""
    body = (
        f'<!DOCTYPE html>\n<html lang="{language}">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="robots" content="noindex, nofollow">\n<meta name="referrer" content="no-referrer">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n{style}</head>\n"
        f"<body>\n<main>\n{dressed.header}<h1>{escape(title)}</h1>\n{content}{footer}</main>\n</body>\n</html>\n"
    )
    return Page(body.encode("utf-8", "replace"), dressed.headers)


def told(language: str, title: str, text: str, soft: str = "", look: Look = NOTHING_CHOSEN, after: str = "") -> Page:
    """A page that says how it went."""
    said = f'<p class="soft">{escape(soft)}</p>\n' if soft else ""
    return page(language, title, f'<p role="status">{escape(text)}</p>\n{after}{said}', dress(look))


def colon(language: str) -> str:
    """As it stands behind a word: French has a space before it."""
    return "\u00a0:" if language == "fr" else ":"


def hidden(name: str, value: str) -> str:
    return f'<input type="hidden" name="{name}" value="{escape(value)}">\n'


def button(label: str, name: str = BUTTON_FIELD[0], value: str = BUTTON_FIELD[1]) -> str:
    return f'<button name="{name}" value="{value}">{escape(label)}</button>'


def choice(kind: str, name: str, value: str, label: str, *, is_checked: bool = False) -> str:
    """A box or a round button, with its label around it."""
    checked = " checked" if is_checked else ""
    return f'<label><input type="{kind}" name="{name}" value="{escape(value)}"{checked}> {escape(label)}</label>\n'


def facts_of(about: About, language: str, *, with_list: bool = True) -> str:
    """Who writes, which list, and to whom, as far as that is known."""
    words = WORDS[language]
    rows = (
        (words.about_from, about.sender),
        (words.about_list, about.list_title if with_list else ""),
        (words.about_to, masked(about.address)),
        (words.about_purpose, about.purpose),
    )
    shown = "".join(f"<div><dt>{escape(what)}</dt><dd>{escape(value)}</dd></div>\n" for what, value in rows if value)
    return f"<dl>\n{shown}</dl>\n" if shown else ""


def masked(address: str) -> str:
    """`a…@e….org` of `ana@example.org`: who knows the address knows it again, and nobody else learns it."""
    local, _, domain = address.rpartition("@")
    name, _, top = domain.rpartition(".")
    return f"{local[0]}…@{name[0]}….{top}" if local and name else ""


def _reasons(words: Words) -> tuple[tuple[str, str], ...]:
    return (
        ("too_many", words.why_too_many),
        ("not_relevant", words.why_not_relevant),
        ("never_asked", words.why_never_asked),
        ("other", words.why_other),
    )


#: Why somebody leaves, in one word, as it is kept.
REASONS = frozenset(word for word, _ in _reasons(WORDS["en"]))


def _follows(event: str) -> str:
    return hidden(EVENT_FIELD, event) if event else ""


def _undo(language: str, words: Words, left_as: str) -> str:
    return (
        f'<form method="post">\n<p>{escape(words.undo_text)}</p>\n{hidden(LANGUAGE_FIELD, language)}{_follows(left_as)}'
        f"{button(words.undo_button, UNDO_FIELD, 'yes')}\n</form>\n"
    )


def leave(about: About, language: str) -> Page:
    """Asks whether to unsubscribe, or says that they have; posts to the page's own address."""
    words = WORDS[language]
    known = facts_of(about, language)
    if about.has_left:
        undo = _undo(language, words, about.left_as) if about.can_undo else ""
        return told(language, words.already_title, words.already_text, "", about.look, known + undo)
    reasons = "".join(choice("radio", WHY_FIELD, word, label) for word, label in _reasons(words))
    return page(
        language,
        words.leave_title,
        f'{known}<p>{escape(words.leave_text)}</p>\n<form method="post">\n{hidden(LANGUAGE_FIELD, language)}'
        f"{_follows(about.came_back_from)}<fieldset>\n<legend>{escape(words.why)}</legend>\n{reasons}</fieldset>\n{button(words.leave_button)}\n"
        f'</form>\n<p class="soft">{escape(words.leave_mistake)}</p>\n',
        dress(about.look),
    )


def left(about: About, language: str, left_as: str = "") -> Page:
    """Says that it is done, as the event `left_as`, to the person who pressed the button, and takes it back if they
    want."""
    words = WORDS[language]
    undo = _undo(language, words, left_as)
    return told(language, words.left_title, words.left_text, words.left_close, about.look, undo)


def back(about: About, language: str) -> Page:
    """Says that they have not left any more."""
    words = WORDS[language]
    return told(language, words.back_title, words.back_text, words.left_close, about.look)


_LEFT_PLAIN = {tag: f"{words.left_text}\n".encode() for tag, words in WORDS.items()}
_INVALID = {tag: told(tag, words.invalid_title, words.invalid_text, words.invalid_hint) for tag, words in WORDS.items()}
_LATER = {tag: told(tag, words.later_title, words.later_text) for tag, words in WORDS.items()}


def left_plain(accept_language: str) -> bytes:
    """Says so in one line of plain text, to the mail program that asked on the person's behalf (RFC 8058)."""
    return _LEFT_PLAIN[accepted(accept_language)]


def invalid(accept_language: str) -> bytes:
    """Says that the link is not valid: the same to everybody, and nothing is looked up for it."""
    return _INVALID[accepted(accept_language)].body


def later(accept_language: str) -> bytes:
    """Asks to try again: what was asked could not be recorded, so it was not done."""
    return _LATER[accepted(accept_language)].body
