"""The mail itself with the clicks of each link where they were made: HTML of somebody else in, HTML that does nothing
out. Pure.

The mail is read and written anew: only what lays out text is written, with attributes that lead nowhere and load
nothing. So whatever a reader of HTML makes of the original, ours has no script, form, frame, picture or address; and
the page that has it is shown in a frame of its own, whose policy forbids all of these besides.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from html.parser import HTMLParser

from services.pages.api import Json

#: A mail that is larger is not shown.
MAX_CHARS = 2_000_000
#: Elements that are written; all others are left out, and what is in them is kept,
ELEMENTS = frozenset((
    "a", "abbr", "address", "article", "aside", "b", "big", "blockquote", "br", "caption", "center", "cite", "code",
    "col", "colgroup", "dd", "del", "div", "dl", "dt", "em", "figcaption", "figure", "font", "footer", "h1", "h2",
    "h3", "h4", "h5", "h6", "header", "hr", "i", "img", "ins", "kbd", "li", "main", "mark", "nav", "ol", "p", "pre",
    "q", "s", "samp", "section", "small", "span", "strike", "strong", "style", "sub", "sup", "table", "tbody", "td",
    "tfoot", "th", "thead", "tr", "tt", "u", "ul", "var", "wbr",
))  # fmt: skip
#: but for these.
_SILENT = frozenset((
    "applet", "audio", "button", "canvas", "iframe", "math", "noembed", "noframes", "noscript", "object", "script",
    "select", "svg", "template", "textarea", "title", "video",
))  # fmt: skip
_VOID = frozenset(("br", "col", "hr", "img", "wbr"))
ATTRIBUTES = frozenset((
    "align", "alt", "bgcolor", "border", "cellpadding", "cellspacing", "class", "color", "colspan", "dir", "face",
    "height", "lang", "role", "rowspan", "size", "style", "title", "valign", "width",
))  # fmt: skip
#: Elements inside of each other; what is deeper is text.
MAX_DEPTH = 400
#: What the engine would make something of: blocks and comments. Both branches of a condition are shown.
_LOGIC = re.compile(r"\{%[^{}]*%\}|\{#[^{}]*#\}")
_LINK = re.compile(r"#link-([0-9]{1,5})")
#: From few clicks to many, of the link that was clicked most; light to dark, and told by its number too.
_HEAT = ("#e4e4e4;color:#222", "#fde2c4;color:#222", "#fbb67a;color:#222", "#f0803c;color:#111", "#a3231c;color:#fff")
_STYLE = (
    "body{margin:12px;background:#fff;color:#111;font:16px/1.4 sans-serif;overflow-wrap:break-word}"
    "a{color:#0b4f8a;text-decoration:underline}img{max-width:100%;border:1px dashed #888}table{max-width:100%}"
)
_MARKS = (
    "b.estafette-mark{all:unset!important;display:inline-block!important;margin:0 3px!important;"
    "padding:1px 6px!important;border-radius:9px!important;font:600 12px/1.5 sans-serif!important;"
    "white-space:nowrap!important}"
) + "".join(
    f"b.estafette-mark.estafette-{level}{{background:{colours.replace(';', '!important;')}!important}}"
    for level, colours in enumerate(_HEAT)
)


@dataclass(frozen=True)
class Clicks:
    """At one place: of how many messages, their share of those that were delivered, and how much that is beside the
    other places, 0 to 4."""

    unique: int
    share: float | None
    level: int


def clicks(positions: Sequence[Json], delivered: int) -> dict[int, Clicks]:
    """By position."""
    most = max((one["unique"] for one in positions), default=0)
    return {
        one["position"]: Clicks(
            one["unique"],
            one["unique"] / delivered if delivered else None,
            -(-4 * one["unique"] // most) if most else 0,
        )
        for one in positions
    }


def page(html: str, at: Mapping[int, Clicks]) -> str:
    """A whole document."""
    painter = _Painter(at)
    painter.feed(_LOGIC.sub("", html[:MAX_CHARS]))
    painter.close()
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>The mail, with its clicks</title>'
        f"<style>{_STYLE}</style></head><body>{painter.written()}<style>{_MARKS}</style></body></html>"
    )


class _Painter(HTMLParser):
    def __init__(self, at: Mapping[int, Clicks]) -> None:
        super().__init__(convert_charrefs=True)
        self._at = at
        self._pieces: list[str] = []
        #: Elements that are open, and what is written when each ends.
        self._open: list[tuple[str, str]] = []
        self._silent = ""

    def written(self) -> str:
        """All of it, with the ends that were missing."""
        return "".join([*self._pieces, *(end for _, end in reversed(self._open))])

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self._silent:
            return
        if tag in _SILENT:
            self._silent = tag
            return
        name = "div" if tag == "body" else tag
        if name not in ELEMENTS or len(self._open) >= MAX_DEPTH:
            return
        kept = "".join(f' {key}="{escape(value or "")}"' for key, value in attrs if key in ATTRIBUTES)
        self._pieces.append(f"<{name}{kept}>")
        if name not in _VOID:
            self._open.append((tag, f"{self._mark(attrs) if tag == 'a' else ''}</{name}>"))

    def handle_endtag(self, tag: str) -> None:
        if self._silent:
            self._silent = "" if tag == self._silent else self._silent
            return
        # An end that nothing began is left out, so that ours are always in pairs.
        found = next((at for at in range(len(self._open) - 1, -1, -1) if self._open[at][0] == tag), None)
        if found is not None:
            self._pieces += [end for _, end in reversed(self._open[found:])]
            del self._open[found:]

    def handle_data(self, data: str) -> None:
        if self._silent:
            return
        is_style = bool(self._open) and self._open[-1][0] == "style"
        self._pieces.append(data.replace("<", "\\3c ") if is_style else escape(data, quote=False))

    def _mark(self, attrs: Sequence[tuple[str, str | None]]) -> str:
        found = _LINK.fullmatch(dict(attrs).get("href") or "")
        here = self._at.get(int(found[1])) if found else None
        if here is None:
            return ""
        share = "" if here.share is None else f" · {100 * here.share:.1f} %"
        return f'<b class="estafette-mark estafette-{here.level}">{here.unique:,}{share}</b>'
