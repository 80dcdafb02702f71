"""MJML, and the HTML that mrml makes of it. Pure: nothing is included or loaded.

A placeholder is a word while it works, and stands in the HTML where that word came out: in attributes and texts, and
between components, where a statement of the template repeats them or leaves them out. One that comes out nowhere is
refused, for part of what the author wrote would be gone.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import count

import mrml

from services.queueing.placeholders import Placeholder, placeholders

#: Placeholders that are named where they come out nowhere.
MAX_NAMED = 5
_POSITION = re.compile(r" in root template(?: at position (\d+):\d+)?$")
_PARSER = mrml.ParserOptions(include_loader=mrml.noop_loader())
#: Without web fonts but for those that an `mj-font` names: each is a request of every reader to somebody else.
_RENDERING = mrml.RenderOptions(fonts={})
_INCLUDES = re.compile(r"<mj-include\b", re.IGNORECASE)


class InvalidMjml(Exception):
    """What is wrong with it, each in words, with its line where that is known."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = list(faults)


def to_html(source: str) -> str:
    """The HTML of a source that compiles as a template. InvalidMjml."""
    found = list(placeholders(source))
    if includes := [source.count("\n", 0, one.start()) + 1 for one in _INCLUDES.finditer(source)]:
        raise InvalidMjml([f"line {line}: mj-include: nothing is included" for line in includes[:MAX_NAMED]])
    begin = next(begin for length in count(1) if (begin := f"q{'z' * length}m") not in source)
    given = "".join(_with_words(source, found, begin))
    try:
        html = mrml.to_html(given, _PARSER, _RENDERING).content
    except OSError as error:
        raise InvalidMjml([_told(str(error), given, source, found, begin)]) from None
    word = re.compile(rf"{begin}([0-9]+)m")
    seen = {int(number) for number in word.findall(html)}
    gone = [one for index, one in enumerate(found) if index not in seen and one.kind != "comment"]
    if gone:
        raise InvalidMjml([_named(source, one) for one in gone[:MAX_NAMED]])
    return word.sub(lambda token: source[found[int(token[1])].start : found[int(token[1])].end], html)


def _with_words(source: str, found: Sequence[Placeholder], begin: str) -> Iterator[str]:
    at = 0
    for index, one in enumerate(found):
        yield source[at : one.start]
        yield "" if one.kind == "comment" else f"{begin}{index}m"
        at = one.end
    yield source[at:]


def _named(source: str, one: Placeholder) -> str:
    line = source.count("\n", 0, one.start) + 1
    excerpt = source[one.start : one.end][:40].partition("\n")[0]
    return f"line {line}: {excerpt!r} stands where nothing is shown: put it into a component, or into an mj-raw"


def _told(what: str, given: str, source: str, found: Sequence[Placeholder], begin: str) -> str:
    """What mrml says, with the line of the source where it says a place, in bytes of what it was given."""
    told = _POSITION.search(what)
    reason = what[: told.start()] if told is not None else what
    if told is None or told[1] is None:
        return f"not MJML: {reason}"
    before = given.encode()[: int(told[1])].decode(errors="ignore")
    line = before.count("\n") + 1
    for number in re.findall(rf"{begin}([0-9]+)m", before):
        one = found[int(number)]
        line += source.count("\n", one.start, one.end)
    return f"line {line}: not MJML: {reason}"
