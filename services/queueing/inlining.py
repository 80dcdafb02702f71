"""CSS of `<style>` written into the elements that it is about, for programs that read no `<style>`. Pure.

css-inline says which element gets what; the source is not written anew: `style="…"` is put into its tags, and all else,
`<style>` too, stays as it is, for what cannot stand in an element (`@media`, `:hover`). Nothing is loaded.

A placeholder is a word in a value of CSS while it works (`color: {{ colour }}`), and no selector finds one. What
depends on a condition is left alone: an element whose tag has a statement of the template, a `<style>` that has one.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from html import escape, unescape
from itertools import count
from operator import itemgetter

import css_inline
import turbohtml

from services.queueing import contexts, raw_text
from services.queueing.placeholders import Placeholder, placeholders
from services.queueing.rewrite import inside

_INLINER = css_inline.CSSInliner(keep_style_tags=True, keep_link_tags=True, load_remote_stylesheets=False)
#: Where an attribute can be put into a tag, and where its `style` stands.
_Tag = tuple[int, tuple[int, int] | None]
_WITHOUT_STYLE = ("html", "head", "style", "script", "link", "meta", "title")
#: The attribute with its value: declarations, with strings and brackets in which a `;` ends none.
_STYLE = re.compile(
    r"""style\s*=\s*(?P<quote>["']?)\s*(?:[-\w]+\s*:(?:[^;{}()"']|"[^"]*"|'[^']*'|\([^()]*\))*(?:;\s*|(?=(?P=quote)\Z)))*+"""
    r"""(?P=quote)""",
    re.IGNORECASE,
)
_LEFT_ALONE = ' data-css-inline="ignore"'


class NotInlined(Exception):
    """Why not, in words."""


def inlined(source: str) -> str:
    """The HTML with its CSS in its elements. NotInlined."""
    if "<style" not in source.lower():
        return source
    found = list(placeholders(source))
    begin = next(begin for length in count(1) if (begin := f"q{'z' * length}c") not in source)
    masked = contexts.masked(source, found, " ")
    html = turbohtml.parse(masked, source_locations=True)
    tags, others = _tags(html, source, found, begin)
    changes = list(_words([one for one in found if not _is_in(one, others)], found, begin))
    changes += ((start, end, "") for start, end in others)
    changes += ((at, at, f" data-{begin}={number}") for number, (at, _) in enumerate(tags))
    changes += ((at, at, _LEFT_ALONE) for at in _left_alone(html, found))
    try:
        styled = _INLINER.inline(raw_text.given_back(_spliced(source, changes)))
    except (css_inline.InlineError, ValueError) as error:
        raise NotInlined(f"its CSS cannot be inlined: {error}") from None
    return _spliced(source, list(_styles(turbohtml.parse(styled), tags, source, found, begin)))


def _tags(
    html: turbohtml.Document, source: str, found: Sequence[Placeholder], begin: str
) -> tuple[list[_Tag], list[tuple[int, int]]]:
    """Where an attribute can be put into each tag, and where its `style` stands; and where those stand that are left
    as they are."""
    tags: dict[int, _Tag] = {}
    others: list[tuple[int, int]] = []
    for element in html.select("*"):
        location = element.source_location
        if location is None or location.start_tag.start_offset in tags:
            continue
        start, end = location.start_tag.start_offset, location.start_tag.end_offset
        style = location.attrs.get("style")
        place = None if style is None else (style.start_offset, style.end_offset)
        is_open = any(one.kind == "statement" for one in inside(found, start, end))
        if place is not None and (is_open or not _is_style(source, found, begin, place)):
            others.append(place)
        elif not is_open and element.tag not in _WITHOUT_STYLE:
            tags[start] = (start + 1 + len(element.tag), place)
    return list(tags.values()), others


def _is_style(source: str, found: Sequence[Placeholder], begin: str, place: tuple[int, int]) -> bool:
    """Whether an attribute has declarations, as far as can be told: css-inline takes nothing else."""
    some = inside(found, *place)
    words = [(one.start - place[0], one.end - place[0], begin) for one in some]
    return _STYLE.fullmatch(unescape(_spliced(source[place[0] : place[1]], words))) is not None


def _is_in(one: Placeholder, places: Sequence[tuple[int, int]]) -> bool:
    at = bisect_right(places, one.start, key=itemgetter(0)) - 1
    return at >= 0 and one.start < places[at][1]


def _left_alone(html: turbohtml.Document, found: Sequence[Placeholder]) -> Iterator[int]:
    """Where the tags go on of what is not to be read, nor loaded."""
    for element in html.select("style, link"):
        location = element.source_location
        if location is None:
            continue
        end = location.end_tag.start_offset if location.end_tag is not None else location.start_tag.end_offset
        some = inside(found, location.start_tag.start_offset, end)
        if element.tag == "link" or any(one.kind == "statement" for one in some):
            yield location.start_tag.start_offset + 1 + len(element.tag)


def _words(some: Sequence[Placeholder], found: Sequence[Placeholder], begin: str) -> Iterator[tuple[int, int, str]]:
    numbers = {one.start: number for number, one in enumerate(found)}
    for one in some:
        # What is around it may be one word with it.
        prints = one.kind in ("variable", "expression")
        yield one.start, one.end, f"{begin}{numbers[one.start]}c" if prints else ""


def _styles(
    styled: turbohtml.Document,
    tags: Sequence[_Tag],
    source: str,
    found: Sequence[Placeholder],
    begin: str,
) -> Iterator[tuple[int, int, str]]:
    """What is put into the source, and where."""
    word = re.compile(rf"{begin}([0-9]+)c")
    given = [source[one.start : one.end] for one in found]
    for element in styled.select(f"[data-{begin}]"):
        style = str(element.attrs.get("style") or "").strip()
        number = str(element.attrs.get(f"data-{begin}"))
        if not style or not number.isdigit():
            continue
        at, place = tags[int(number)]
        text = word.sub(lambda token: given[int(token[1])], escape(style, quote=False).replace('"', "&quot;"))
        yield (*place, f'style="{text}"') if place is not None else (at, at, f' style="{text}"')


def _spliced(source: str, changes: Sequence[tuple[int, int, str]]) -> str:
    parts: list[str] = []
    at = 0
    for start, end, instead in sorted(changes, key=lambda change: change[:2]):
        parts += (source[at:start], instead)
        at = max(at, end)
    return "".join([*parts, source[at:]])
