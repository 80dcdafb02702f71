"""What is wrong with a mail, or could be, before it is sent: looked at as it was rendered for one recipient. Pure.

`CHECKS` names each check with its level: an `error` is a mail that fails somebody, a `warning` what costs senders their
place in the inbox or the law's patience, an `info` what somebody may have meant. None of them refuses anything.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import unescape
from itertools import islice
from typing import Annotated, Literal, NamedTuple
from urllib.parse import urlsplit

import msgspec
import turbohtml

from shared.mail import addresses, showing
from shared.words import tokens
from shared.words.described import says
from shared.words.tokens import PAGE_PATHS

Level = Literal["error", "warning", "info"]
Part = Literal["subject", "html", "text"]

CHECKS: Mapping[str, Level] = {
    "broken_link": "error",  # its syntax leads nowhere
    "script": "error",  # mail programs run none, and filters refuse such mail
    "form": "warning",  # most mail programs disable it
    "size": "warning",  # Gmail shows 102 kB of the HTML, and hides the rest
    "no_text": "warning",  # HTML alone
    "no_advertiser": "warning",  # who writes is named nowhere (K10)
    "no_way_out": "warning",  # marketing without a visible way to leave
    "unknown_variable": "warning",  # neither the recipient nor the job has it
    "unused_variable": "info",  # nothing names it
    "capitals": "warning",  # a subject that shouts
    "exclamation": "warning",  # more than two `!` in the subject, or several in a row
    "image_only": "warning",  # pictures, and hardly any text
    "hidden_text": "warning",  # text that nobody sees, other than a preheader
    "shortener": "warning",  # a link over a URL shortener, of whom lists of blocks have all
    "other_host": "warning",  # a link whose text names another host than it leads to
    "no_alt": "info",  # a picture that says nothing where it is not shown
}
_RANK = {"error": 0, "warning": 1, "info": 2}
#: Gmail shows so much of an HTML, as senders measure it.
SHOWN_BYTES = 102_000
#: What is longer is not looked into: no mail of that size is meant.
MAX_CHARS = 1_500_000
#: Checks that are told at most, of each kind.
MOST_OF_A_KIND = 20
#: Fewer seen characters than this beside a picture, and the picture is the mail.
_TEXT_CHARS = 60
#: Of what a link stands in is looked at so far out.
_LEVELS = 50
#: Hidden at the beginning of the body up to here it is a preheader.
_PREHEADER_CHARS = 600
_SHORTENERS = frozenset(
    (
        "bit.ly", "buff.ly", "cutt.ly", "goo.gl", "is.gd", "lc.cx", "ow.ly", "rb.gy", "rebrand.ly", "shorturl.at",
        "t.co", "t.ly", "tiny.cc", "tinyurl.com", "urlz.fr", "v.gd",
    )
)  # fmt: skip
_SHORTENED = "leads over {}: a URL shortener hides where it goes, and filters block it"
_HIDDEN = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*0|opacity\s*:\s*0(?![.\d])", re.IGNORECASE
)
_HOST_IN_TEXT = re.compile(r"^(?:https?://)?((?:[\w-]+\.)+[a-z]{2,})(?:[/?#:]\S*)?$", re.IGNORECASE)
_URL_IN_TEXT = re.compile(r"https?://[^\s<>\"]+", re.IGNORECASE)
_WAYS_OUT = tuple(f"/{PAGE_PATHS[kind]}/" for kind in ("unsubscribe", "preferences"))
_OWN_WAY_OUT = re.compile(
    r"unsubscrib|d[eé]sabonn|d[eé]sinscri|abmeld|abbestell|darse de baja|opt.?out|afmeld", re.IGNORECASE
)


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is wrong with the mail, or could be."""

    name: Annotated[str, says("Which check.", "no_text", schema={"enum": list(CHECKS)})]
    level: Annotated[Level, says("How bad it is.", "warning")]
    part: Annotated[Part | None, says("In which part; null: of the whole mail.", "html")] = None
    at: Annotated[
        int | None, says("The line of that part, from 1: as it was rendered, of a variable as it was written.", 12)
    ] = None
    what: Annotated[str, says("What is wrong, in words.", "there is no text part: add `text`")]


class Mail(NamedTuple):
    """As it was rendered. `size_bytes` of the whole message."""

    subject: str
    sender: str
    html: str | None
    text: str | None
    size_bytes: int
    is_marketing: bool


def check(name: str, what: str, part: Part | None = None, at: int | None = None) -> Check:
    return Check(name=name, level=CHECKS[name], part=part, at=at, what=what)


def found(mail: Mail, more: Iterable[Check] = ()) -> list[Check]:
    """All that is found of a mail, and `more`, the worst first."""
    every = [*_of_subject(mail.subject), *_of_whole(mail), *more]
    if mail.html is not None and len(mail.html) <= MAX_CHARS:
        every += _of_html(mail.html)
    if mail.text is not None and len(mail.text) <= MAX_CHARS:
        every += _of_text(mail.text)
    told: dict[str, int] = {}
    kept = []
    for one in every:
        told[one.name] = told.get(one.name, 0) + 1
        if told[one.name] <= MOST_OF_A_KIND:
            kept.append(one)
    return sorted(kept, key=lambda one: _RANK[one.level])


def _of_subject(subject: str) -> Iterator[Check]:
    letters = [char for char in subject if char.isalpha()]
    if len(letters) >= 8 and sum(char.isupper() for char in letters) > 0.7 * len(letters):
        yield check("capitals", "the subject is written in capitals", "subject")
    if subject.count("!") > 2 or "!!" in subject:
        yield check("exclamation", "the subject has too many exclamation marks", "subject")


def _of_whole(mail: Mail) -> Iterator[Check]:
    html_bytes = len((mail.html or "").encode("utf-8", "replace"))
    if html_bytes > SHOWN_BYTES:
        yield check("size", f"the HTML has {html_bytes} bytes: Gmail shows 102 kB, and hides the rest", "html")
    if mail.text is None or not showing.shows(mail.text):
        yield check("no_text", "there is no text part: some readers and filters look at nothing else")
    seen = _seen(mail.html) if mail.html is not None and len(mail.html) <= MAX_CHARS else ""
    words = f"{seen}\n{mail.text or ''}"
    if mail.is_marketing and not _names_advertiser(mail.sender, words):
        what = "nothing in the mail names who writes: neither the name nor the domain of its sender is in it (K10)"
        yield check("no_advertiser", what)
    if mail.is_marketing and not _has_way_out(mail.html or "", mail.text or ""):
        yield check(
            "no_way_out", "no link to leave is seen: put `{{ unsubscribe_url }}` or `{{ preferences_url }}` in it"
        )


def _names_advertiser(sender: str, words: str) -> bool:
    try:
        mailbox = addresses.parse_mailbox(sender)
    except addresses.InvalidAddress:
        return False
    labels = mailbox.address.domain.split(".")
    names = [mailbox.name, labels[-2] if len(labels) > 1 else labels[0]]
    folded = words.casefold()
    return any(len(name) > 1 and name.casefold() in folded for name in names)


def _has_way_out(html: str, text: str) -> bool:
    """In the HTML, which is what readers see, or in the text of a mail that has no other part."""
    if not html:
        return any(way in text for way in _WAYS_OUT) or bool(_OWN_WAY_OUT.search(text))
    if len(html) > MAX_CHARS:
        return True
    for link in turbohtml.parse(html).select("a[href]"):
        href, inside = str(link.attrs.get("href") or ""), link.text or ""
        is_way = any(way in href for way in _WAYS_OUT) or _OWN_WAY_OUT.search(f"{href} {inside}")
        if is_way and (showing.shows(inside) or link.select("img")) and not _is_hidden(link):
            return True
    return False


def _seen(html: str) -> str:
    """Its text, styles and such left out."""
    texts = [html[piece.start : piece.end] for piece in showing.pieces(html) if piece.kind == "text"]
    return unescape(" ".join(texts))


def _of_html(html: str) -> Iterator[Check]:
    document = turbohtml.parse(html, source_locations=True)
    for element in document.select("script"):
        yield check("script", "a script: no mail program runs it, and filters refuse such mail", "html", _line(element))
    for element in document.select("form"):
        yield check("form", "a form: most mail programs disable it; lead to a page instead", "html", _line(element))
    pictures = document.select("img")
    for element in pictures:
        if "alt" not in element.attrs:
            yield check(
                "no_alt",
                "a picture without `alt`: nothing is there where pictures are off",
                "html",
                _line(element),
            )
    seen = _seen(html)
    if pictures and len("".join(seen.split())) < _TEXT_CHARS:
        yield check(
            "image_only", "pictures, and hardly any text: filters cannot read it, nor who has pictures off", "html"
        )
    yield from _hidden(document)
    for element in document.select("a[href], area[href]"):
        yield from _of_link(str(element.attrs.get("href") or ""), element.text or "", _line(element))


def _hidden(document: turbohtml.Document) -> Iterator[Check]:
    hidden = (one for one in document.select("[style]") if _HIDDEN.search(str(one.attrs.get("style") or "")))
    for number, element in enumerate(islice(hidden, MOST_OF_A_KIND)):
        text = element.text or ""
        is_preheader = number == 0 and len(text) <= _PREHEADER_CHARS
        if not is_preheader and showing.shows(text):
            yield check("hidden_text", "text that is not seen: filters take it for a trick", "html", _line(element))


def _of_link(href: str, inside: str, line: int | None) -> Iterator[Check]:
    value = href.strip()
    if (what := broken(value)) is not None:
        yield check("broken_link", f"{value[:80]!r}: {what}", "html", line)
        return
    host = (urlsplit(value).hostname or "").removeprefix("www.") if value.lower().startswith("http") else ""
    if not host:
        return
    if host in _SHORTENERS:
        yield check("shortener", _SHORTENED.format(host), "html", line)
    named = _HOST_IN_TEXT.match(inside.strip())
    if named is not None and not _is_same_site(named[1].lower().removeprefix("www."), host):
        yield check("other_host", f"its text says {named[1]!r:.80}, and it leads to {host}", "html", line)


def _is_same_site(one: str, other: str) -> bool:
    return one == other or one.endswith(f".{other}") or other.endswith(f".{one}")


def broken(href: str) -> str | None:
    """What is wrong with the syntax of a link, None if nothing is."""
    if not href or href == "#":
        return "leads nowhere"
    if "{{" in href or "{%" in href or "%7B%7B" in href.upper():
        return "has a word of a template in it"
    scheme, colon, rest = href.partition(":")
    if href.startswith("#") or (colon and scheme.lower() in ("tel", "sms", "cid", "geo", "webcal", "whatsapp")):
        return None
    if colon and scheme.lower() == "mailto":
        return None if not rest or "@" in rest.partition("?")[0] or rest.startswith("?") else "names no address"
    if not colon or not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", scheme):
        return "is not absolute: in a mail it leads nowhere"
    if scheme.lower() in ("http", "https"):
        return None if tokens.destination(href) else "is no URL that can be followed"
    return f"`{scheme[:20]}:` is a scheme that mail programs do not follow"


def _of_text(text: str) -> Iterator[Check]:
    number = 0
    for found_url in _URL_IN_TEXT.finditer(text):
        url = found_url[0].rstrip(".,;:!?)]}'")
        name, what = "broken_link", broken(url)
        if what is None:
            host = (urlsplit(url).hostname or "").removeprefix("www.")
            name, what = "shortener", _SHORTENED.format(host) if host in _SHORTENERS else None
        if what is not None:
            number += 1
            yield check(name, f"{url[:80]!r}: {what}", "text", text.count("\n", 0, found_url.start()) + 1)
        if number == MOST_OF_A_KIND:
            return


def _is_hidden(element: turbohtml.Element) -> bool:
    """By its own style, or that of what it stands in."""
    around = islice(element.ancestors, _LEVELS)
    return any(
        _HIDDEN.search(str(one.attrs.get("style") or ""))
        for one in (element, *around)
        if isinstance(one, turbohtml.Element)
    )


def _line(element: turbohtml.Element) -> int | None:
    location = element.source_location
    return None if location is None else location.start_tag.start_line


def lines(checks: Sequence[Check]) -> list[str]:
    """As somebody reads them at a console."""
    return [
        f"{one.level:7} {one.name:16} {one.part or ''}{f':{one.at}' if one.at else ''} {one.what}" for one in checks
    ]
