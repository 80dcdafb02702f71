"""Where the template's own words stand in a source, so that the HTML around them can be read and plain slots split out.

The rules are those of minijinja's lexer: a comment ends at the first `#}`; `{{` and `{%` end at the first closing mark
outside of strings and brackets; between `{% raw %}` and `{% endraw %}` nothing is special. Sources come here after
minijinja has compiled them, so what is not closed is only text that looks like a beginning.
"""

import re
from collections.abc import Iterator
from typing import Literal

import msgspec

Kind = Literal["variable", "expression", "statement", "comment"]

_OPENING = re.compile(r"\{[{%#]")
# One piece of an expression: a string, a bracket, or a closing mark; what is between them does not matter.
_PIECE = re.compile(r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|[(\[{]|[-+]?[%}]\}|[)\]}]""", re.DOTALL)
_RAW = re.compile(r"\{%[-+]?\s*raw\s*[-+]?%\}")
_END_OF_RAW = re.compile(r"\{%[-+]?\s*endraw\s*[-+]?%\}")
_PATH = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*)\s*\}\}")
#: Names that mean something else than a variable: literals, operators, and what the engine itself defines.
_RESERVED = re.compile(
    "true|false|none|True|False|None|not|and|or|in|is|if|else|self|super|loop|caller|"
    "cycler|debug|dict|joiner|namespace|range"
)
_KINDS: dict[str, Kind] = {"{{": "expression", "{%": "statement", "{#": "comment"}


class Placeholder(msgspec.Struct, frozen=True):
    """`source[start:end]` is the template's. A `variable` is `{{ a.b }}` and nothing more: `path` has its names. A
    comment that trims blanks around it counts as a statement."""

    kind: Kind
    start: int
    end: int
    path: tuple[str, ...] = ()


def placeholders(source: str) -> Iterator[Placeholder]:
    """Those of a source, in order. The two ends of a raw block are statements, and what is between them is text."""
    at = 0
    while (opening := _OPENING.search(source, at)) is not None:
        start = opening.start()
        if (raw := _RAW.match(source, start)) is not None:
            yield Placeholder("statement", start, raw.end())
            closing = _END_OF_RAW.search(source, raw.end())
            if closing is None:
                return
            yield Placeholder("statement", closing.start(), closing.end())
            at = closing.end()
        else:
            end = _end(source, start, opening.group())
            if end < 0:
                return
            yield _placeholder(source, start, end, _KINDS[opening.group()])
            at = end


def end_of(source: str, start: int) -> int:
    """Where the tag, comment or raw block that begins at `start` ends; -1 if it does not."""
    if (raw := _RAW.match(source, start)) is not None:
        closing = _END_OF_RAW.search(source, raw.end())
        return -1 if closing is None else closing.end()
    return _end(source, start, source[start : start + 2])


def _placeholder(source: str, start: int, end: int, kind: Kind) -> Placeholder:
    if kind == "expression":
        path = _PATH.fullmatch(source, start, end)
        if path is not None and not _RESERVED.fullmatch((names := path.group(1).split("."))[0]):
            return Placeholder("variable", start, end, tuple(names))
    if kind == "comment" and (source[start + 2] in "-+" or source[end - 3] in "-+"):
        kind = "statement"
    return Placeholder(kind, start, end)


def _end(source: str, start: int, opening: str) -> int:
    """Where the closing mark ends; -1 if there is none."""
    if opening == "{#":
        end = source.find("#}", start + 2)
        return end if end < 0 else end + 2
    depth = 0
    closing = "}}" if opening == "{{" else "%}"
    at = start + 2
    while (piece := _PIECE.search(source, at)) is not None:
        text = piece.group()
        at = piece.end()
        if depth == 0 and text.endswith(closing):
            return at
        if text in "([{":
            depth += 1
        elif text[0] in ")]}-+%":
            # A closing mark inside of brackets is two characters that may each close something.
            depth -= text[0] in ")]}"
            at = piece.start() + 1
    return -1
