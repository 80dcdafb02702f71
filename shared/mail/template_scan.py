"""What a template's source may ask of the engine, looked at before the engine is: every way in which it nests.

The engine parses and compiles by recursion in native code, where too deep is the end of the process. So the source is
walked once, without recursion, each character once: the tags and their tokens are the engine's, and what would become
a level of its tree is counted. Generous enough that no honest mail meets a bound:

    chain       operators, filters, tests, dots, subscripts and calls of one operand, and of those that it stands in
    brackets    inside of each other
    blocks      `if`, `for`, `with`, … inside of each other; each `elif` counts, for to the engine it is an `if` inside
    tokens      of one tag; tags of a source; statements of a source
    string      characters of one literal
"""

import re

import msgspec

MAX_CHAIN = 200
MAX_BRACKETS = 24
MAX_BLOCKS = 48
MAX_TOKENS = 5_000
MAX_TAGS = 20_000
MAX_STATEMENTS = 5_000
MAX_STRING_CHARS = 20_000
#: Of what is wrong, as it stands in the source.
EXCERPT_CHARS = 40
_NO_TEMPLATE = "text that is no template stands between {% raw %} and {% endraw %}"

_OPENING = re.compile(r"\{[{%#]")
_RAW = re.compile(r"\{%[-+]?\s*raw\s*[-+]?%\}")
_END_OF_RAW = re.compile(r"\{%[-+]?\s*endraw\s*[-+]?%\}")
_TOKEN = re.compile(
    r"""(?P<blank>\s+)
    |(?P<string>'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")
    |(?P<name>[^\W\d]\w*)
    |(?P<number>\d\w*)
    |(?P<close>[-+]?[%}]\})
    |(?P<open>[(\[{])
    |(?P<shut>[)\]}])
    |(?P<comma>[,:])
    |(?P<operator>//|\*\*|[=!<>]=|[-+*/%~|.<>=!])
    |(?P<wrong>.)""",
    re.VERBOSE | re.DOTALL,
)
_PLAIN = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*)\s*\}\}")
_WORDS = frozenset(("not", "and", "or", "in", "is", "if", "else"))
_OPENERS = frozenset(("if", "for", "with", "filter", "macro", "call", "block", "autoescape"))
#: There are no other templates that a mail could load, and a template that loads itself does not end.
_NO_OTHERS = frozenset(("include", "extends", "import", "from"))


class InvalidTemplate(ValueError):
    """It does not compile: `what` in words, `line` and `column` from 1; column 0 if it is not known."""

    def __init__(self, what: str, line: int, column: int = 0) -> None:
        super().__init__(f"line {line}, column {column}: {what}" if column else f"line {line}: {what}")
        self.what = what
        self.line = line
        self.column = column


class Scanned(msgspec.Struct, frozen=True):
    """`tags` of a source; whether they are `plain`: variables and comments, nothing that runs."""

    tags: int
    plain: bool


class _Scan:
    def __init__(self, source: str) -> None:
        self._source = source
        self._statements = 0
        #: How deep each open block is: `elif` makes its block deeper.
        self._blocks: list[int] = []
        self._depth = 0
        self.spans: list[tuple[int, int, int]] = []

    def run(self) -> Scanned:
        source = self._source
        at = tags = 0
        plain = True
        while (opening := _OPENING.search(source, at)) is not None:
            start = opening.start()
            tags += 1
            if tags > MAX_TAGS:
                raise self._fault(start, f"more than {MAX_TAGS} tags")
            if opening.group() == "{#":
                end = source.find("#}", start + 2)
                if end < 0:
                    raise self._fault(start, "a comment that does not end")
                plain = plain and source[start + 2] not in "-+" and source[end - 1] not in "-+"
                at = end + 2
            elif (raw := _RAW.match(source, start)) is not None:
                closing = _END_OF_RAW.search(source, raw.end())
                if closing is None:
                    raise self._fault(start, "a raw block that does not end")
                plain, at = False, closing.end()
            else:
                plain = plain and _PLAIN.match(source, start) is not None
                at = self._tag(start, "}}" if opening.group() == "{{" else "%}")
            self.spans.append((start, at, len(self._blocks)))
        return Scanned(tags, plain)

    def _tag(self, start: int, closing: str) -> int:  # noqa: C901 - a branch for each kind of token
        """Where it ends."""
        source = self._source
        at = start + 2
        chains = [0]
        chain = tokens = 0
        first = ""
        assigns = False
        while (token := _TOKEN.match(source, at)) is not None:
            kind, text, begin = token.lastgroup, token.group(), at
            at = token.end()
            if kind == "blank":
                continue
            tokens += 1
            if tokens > MAX_TOKENS:
                raise self._fault(begin, f"more than {MAX_TOKENS} words and signs in one tag")
            if kind == "close":
                if len(chains) == 1 and text.endswith(closing):
                    if closing == "%}":
                        self._statement(start, first, assigns)
                    return at
                # Inside of brackets these are two characters that may each close something.
                kind, at = ("shut" if text[0] == "}" else "operator"), begin + 1
                text = text[0]
            if kind == "name":
                first = first or text
                if text in _WORDS:
                    kind = "operator"
            if kind == "operator":
                chains[-1] += 1
                chain += 1
                assigns = assigns or (text == "=" and len(chains) == 1)
            elif kind == "open":
                chains[-1] += 1
                chain += 1
                chains.append(0)
                if len(chains) - 1 > MAX_BRACKETS:
                    raise self._fault(begin, f"more than {MAX_BRACKETS} brackets inside of each other")
            elif kind == "shut":
                chain -= chains.pop()
                if not chains:
                    raise self._fault(begin, "a bracket closes that was not opened")
            elif kind == "comma":
                chain -= chains[-1]
                chains[-1] = 0
            elif kind == "string" and len(text) > MAX_STRING_CHARS:
                raise self._fault(begin, f"a string of more than {MAX_STRING_CHARS} characters")
            elif kind == "wrong":
                raise self._fault(
                    begin, "a string that does not end" if text in "'\"" else "not a sign of the language"
                )
            if chain > MAX_CHAIN:
                what = "operators, filters, dots and subscripts in one expression"
                raise self._fault(begin, f"more than {MAX_CHAIN} {what}")
        raise self._fault(start, "a tag that does not end")

    def _statement(self, start: int, word: str, assigns: bool) -> None:
        self._statements += 1
        if self._statements > MAX_STATEMENTS:
            raise self._fault(start, f"more than {MAX_STATEMENTS} statements")
        if word in _NO_OTHERS:
            raise self._fault(start, f"`{word}`: there are no other templates")
        if word in _OPENERS or (word == "set" and not assigns):
            self._blocks.append(1)
            self._depth += 1
        elif word == "elif" and self._blocks:
            self._blocks[-1] += 1
            self._depth += 1
        elif word.startswith("end") and self._blocks:
            self._depth -= self._blocks.pop()
        if self._depth > MAX_BLOCKS:
            raise self._fault(start, f"more than {MAX_BLOCKS} blocks inside of each other (elif counts)")

    def _fault(self, at: int, what: str) -> InvalidTemplate:
        return fault_at(self._source, at, what)


def fault_at(source: str, at: int, what: str) -> InvalidTemplate:
    """That is wrong at this place of the source: with its line, its column, an excerpt, and what to do where it was
    never meant to be a template."""
    line = source.count("\n", 0, at) + 1
    column = at - source.rfind("\n", 0, at)
    excerpt = source[at : at + EXCERPT_CHARS].partition("\n")[0]
    return InvalidTemplate(f"{what}, at {excerpt!r}; {_NO_TEMPLATE}", line, column)


def scan(source: str) -> Scanned:
    """What is in a source. InvalidTemplate if it goes beyond a bound, or has a tag that does not end."""
    return _Scan(source).run()


def spans(source: str) -> list[tuple[int, int]]:
    """Where the tags are that stand in no block, and the blocks that do, each from its first tag to its last: what is
    between them is text. Of a source that compiles; InvalidTemplate as `scan`."""
    walk = _Scan(source)
    walk.run()
    found: list[tuple[int, int]] = []
    begun: int | None = None
    for start, end, open_blocks in walk.spans:
        begun = start if begun is None else begun
        if not open_blocks:
            found.append((begun, end))
            begun = None
    return found if begun is None else [*found, (begun, len(source))]
