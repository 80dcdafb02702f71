"""What becomes of the links of an HTML in a mail, shown with sample tokens: what `estafette rewrite` prints. Pure.

The way is that of a job's content, up to where the relay takes over. Only the values of tracked links are replaced, and
only our own attributes go; line ends stay as they are in the file. A link that depends on the recipient keeps its
template, for where it leads is not known before.
"""

from collections.abc import Callable
from itertools import accumulate

import msgspec

from services.queueing import raw_text, rewrite
from services.queueing.links import Found
from shared.words import content, tokens
from shared.words.utm import Utm, added


class Shown(msgspec.Struct, frozen=True):
    """A link of the source, at its position: the line on which its value stands, the value as browsers read it, whether
    it is tracked, its name, or "", and that of the tracked document that it leads to, or ""."""

    position: int
    line: int
    value: str
    tracked: bool
    name: str
    document: str = ""


class Sample(msgspec.Struct, frozen=True):
    """`source` as it would stand in a mail, its links, and what is wrong with it, in words: a job would be refused."""

    source: str
    links: list[Shown]
    faults: list[str]


def sample(
    source: str,
    click_url: Callable[[int, str], str],
    utm: Utm | None = None,
    document_url: Callable[[int, str, str], str] | None = None,
) -> Sample:
    """Of an HTML. `click_url` makes the link of a position to a destination, `document_url` that to a tracked document,
    with its name; without it they are as clicks. templates.InvalidTemplate."""

    def made(href: rewrite.Href) -> str:
        url = added(href.url, utm)
        if href.document and document_url is not None:
            return document_url(href.position, url, href.document)
        return click_url(href.position, url)

    plain = raw_text.kept(source.replace("\r\n", "\n").replace("\r", "\n"))
    guarded = rewrite.guarded(plain)
    document = rewrite.read(guarded.source, clicks=True, values=guarded.values)
    # Quotes that a value needs are put into the text, and then its line ends are those of a mail.
    text = source if guarded.source == plain else guarded.source
    tracked = [href for href in document.hrefs if href.position < content.UNTRACKED_STYLE]
    positions = {href.position for href in tracked}
    changes = [(start, end, "") for start, end in document.ours]
    changes += [
        (href.start, href.end, made(href)) for href in tracked if href.url and href.position <= tokens.MAX_POSITION
    ]
    shown = [
        Shown(
            position,
            document.source.count("\n", 0, one.start) + 1,
            _value(document, one),
            position in positions,
            one.name,
            one.document,
        )
        for position, one in (
            (tokens.TRAP_POSITION if one.is_trap else at, one) for at, one in enumerate(document.every)
        )
    ]
    return Sample(raw_text.given_back(_spliced(text, changes)), shown, guarded.faults)


def _value(document: rewrite.Document, one: Found) -> str:
    """What browsers read, or the template of it."""
    has_placeholders = bool(rewrite.inside(document.placeholders, one.start, one.end))
    return document.source[one.start : one.end] if has_placeholders else one.value


def _spliced(text: str, changes: list[tuple[int, int, str]]) -> str:
    """The text with these stretches replaced, whose offsets count each end of a line as one character."""
    crlfs = [0, *accumulate(len(line) + 1 for line in text.split("\r\n")[:-1])]
    parts: list[str] = []
    at, passed = 0, 0
    for start, end, instead in sorted(changes):
        while passed + 1 < len(crlfs) and crlfs[passed + 1] <= start:
            passed += 1
        begin = start + passed
        while passed + 1 < len(crlfs) and crlfs[passed + 1] <= end:
            passed += 1
        parts += (text[at:begin], instead)
        at = end + passed
    return "".join([*parts, text[at:]])
