"""What each placeholder stands in: text, a value, a script, or a place where a value would become markup.

Theory of operation. The source is walked once, as browsers cut it (HTML, 13.2.5), from one placeholder to the next: a
statement of the template takes no room, and what prints is some letters. Where the template branches there may be more
than one state to be in (`{% if a %}<b title="{% endif %}`); all of them are kept, and what holds in any of them counts.
What a mail program shows of a conditional comment is such a state too.

    text, comments, values in quotes    the engine's escaping is all that is needed
    values without quotes               get quotes: a blank would end them, and what follows would be attributes
    scripts, `on…`                      what is printed goes through a filter (`shared.mail.templates`): a string's
                                        inside, or a value of its own
    values that lead somewhere, styles  are looked at once they are whole, by the relay (`shared.mail.hrefs`)
    tags, names, `srcdoc`               are refused: what is printed there is markup. But for authors' own words:
                                        `{{ 'hidden' if old }}`, and what they say is markup (`|safe`)
"""

import re
from collections.abc import Callable, Sequence
from html import unescape
from typing import Literal

import msgspec

from services.queueing.placeholders import Placeholder

#: Ways in which a source may be meant, of which all are followed.
MAX_STATES = 16

Where = Literal[
    "data", "open", "name", "tag", "attribute", "after", "before", "double", "single", "bare", "cut", "comment",
    "bogus", "raw",
]  # fmt: skip

#: Elements whose inside has no tags. Those that a mail program may not know (`noembed`, `xmp`) are read as if they had.
_RAW = ("script", "style", "title", "textarea")
_END_OF_RAW = {name: re.compile(rf"</{name}(?=[\s/>])", re.IGNORECASE) for name in _RAW}
_OPENING = re.compile(
    r"<(?:(?P<if>!--\[(?i:if)[^\]>]{0,200}\]>)|(?P<comment>!--)|(?P<tag>/?(?=[A-Za-z]))|(?P<bogus>[!?]|/(?=[^>]))|(?P<last>/?\Z))"
)
#: A tag in which nothing is unusual, at once.
_USUAL = re.compile(
    r"""([A-Za-z][^\s/>"'<=]*+)(?:\s++[^\s"'<>/=]++(?:\s*+=\s*+(?:"[^"]*+"|'[^']*+'|[^\s"'=<>`]++))?+)*+\s*+/?>"""
)
_BLANKS = re.compile(r"\s*")
_BLANKS_AND_SLASHES = re.compile(r"[\s/]*")
_NAME = re.compile(r"[^\s/>]*")
_ATTRIBUTE = re.compile(r"=?[^\s/>=]*")
_REST_OF_ATTRIBUTE = re.compile(r"[^\s/>=]*")
_END_OF_BARE = re.compile(r"[\s>]")
_END_OF_COMMENT = re.compile("--!?>")
_REST_OF_END = re.compile("-?!?>")
_QUOTES = re.compile(r"""\\.|["'`]""", re.DOTALL)
_WORD = re.compile(r"\{%[-+]?\s*([a-z]+)")
_SET = re.compile(r"\{%[-+]?\s*set\s[^=]*[-+]?%\}")
_LITERAL = r"""(?:"[^"\\]*"|'[^'\\]*')(?:\s*\|\s*safe)?"""
#: One of two texts that stand in the template: whatever decides which, nothing of it is printed.
_CHOICE = re.compile(rf"{_LITERAL}(?:\s+if\s(?:(?!\belse\b|[\"']).)+?(?:\selse\s+{_LITERAL})?)?", re.DOTALL)
_SAFE = re.compile(r"\|\s*safe\s*[-+]?\}\}\Z")
IS_JSON = re.compile(r"\|\s*tojson\s*(?:\(\s*\))?\s*[-+]?\}\}\Z")
#: Statements that leave what they hold where it stands, once or not at all.
_BRANCHES = ("if", "for")
_PLAIN_BLOCKS = ("with", "filter", "block", "autoescape", "raw")
#: And those that keep it for elsewhere.
_CAPTURES = ("macro", "call", "set")


class Value(msgspec.Struct, frozen=True):
    """`source[start:end]` is a value in which something prints: of this attribute, in lower case, of this element; or
    the inside of an element that has no tags, if `attribute` is ""."""

    start: int
    end: int
    element: str
    attribute: str


class Naked(msgspec.Struct, frozen=True):
    """A placeholder where a value would be markup: where it begins, and what to do about it."""

    start: int
    what: str


class Contexts(msgspec.Struct, frozen=True):
    """What was found. `quotes` are beginnings and ends of values that need them; `code` has the index of each
    placeholder that stands in a script, and whether in a string of it; `raw` those of them whose element has no
    references."""

    values: list[Value]
    quotes: list[tuple[int, int]]
    code: dict[int, bool]
    raw: set[int]
    naked: list[Naked]


class _State(msgspec.Struct, frozen=True):
    """`start` is where the value, or the inside of a raw element, begins, `depth` how many blocks were open there, and
    `prints` where the first placeholder in it is, -1 if there is none. `quote` is that of a script's
    string, or the last signs of a comment."""

    where: Where = "data"
    element: str = ""
    attribute: str = ""
    start: int = -1
    depth: int = 0
    prints: int = -1
    quote: str = ""


class _Block(msgspec.Struct):
    word: str
    before: set[_State]
    ends: set[_State]
    has_else: bool = False


_DATA = _State()
#: For the end of a comment that is not known yet.
_PRINTED = "x"
_REMEDY_TAG = "what it prints would be an attribute: write the attribute's name out, and the placeholder as its value"
_REMEDY_NAME = "what it prints would be the element: write its name out, with a condition around it where there are two"
_REMEDY_QUOTE = "what it prints could end the value: put quotes around the whole value"
_REMEDY_COMMENT = "what it prints could end the comment: put a blank behind it"
_REMEDY_SRCDOC = "what it prints would be a document: put it into the mail itself"
_REMEDY_WAYS = "the conditions around it leave it open what it stands in: close each tag where it was opened"


class _Walk:
    def __init__(self, source: str, found: Sequence[Placeholder]) -> None:
        self._source = source
        self._found = found
        self._blocks: list[_Block] = []
        self._states = {_DATA}
        self._values: dict[tuple[int, int], Value] = {}
        self._quotes: dict[int, int] = {}
        self._quoted: set[int] = set()
        self._needing: dict[int, int] = {}
        self._code: dict[int, bool] = {}
        self._raw: set[int] = set()
        self._naked: dict[int, str] = {}
        self._literals = ""
        self._steps: dict[Where, Callable[[_State, int, int], tuple[_State, int]]] = {
            "data": self._at_data, "open": self._at_open, "name": self._at_name, "tag": self._at_tag,
            "attribute": self._at_attribute, "after": self._at_after, "before": self._at_before,
            "double": self._at_double, "single": self._at_single, "bare": self._at_bare, "cut": self._at_cut,
            "comment": self._at_comment, "bogus": self._at_bogus, "raw": self._at_raw,
        }  # fmt: skip

    def run(self) -> Contexts:
        at = 0
        for index, one in enumerate(self._found):
            self._text(at, one.start, is_last=False)
            if one.kind in ("variable", "expression"):
                self._states = {self._printed(state, index, one) for state in self._states}
            elif one.kind == "statement":
                self._statement(one)
            if len(self._states) > MAX_STATES:
                self._naked.setdefault(one.start, _REMEDY_WAYS)
                self._states = set(list(self._states)[:1])
            at = one.end
        self._text(at, len(self._source), is_last=True)
        before = 0
        for start, end in sorted(self._quotes.items()):
            first = self._needing[start]
            if first in self._quoted or start < before:
                self._naked.setdefault(first, _REMEDY_WAYS)
                del self._quotes[start]
            before = max(before, end)
        naked = [Naked(start, what) for start, what in sorted(self._naked.items())]
        return Contexts(list(self._values.values()), sorted(self._quotes.items()), self._code, self._raw, naked)

    # What prints

    def _printed(self, state: _State, index: int, one: Placeholder) -> _State:
        where = state.where
        if where in ("open", "name", "tag", "attribute", "after", "cut"):
            if not _is_authors(self._source, one):
                self._naked.setdefault(one.start, _REMEDY_NAME if where in ("open", "name") else _REMEDY_TAG)
            if where in ("open", "name"):
                return _with(state, where="name")
            return _with(state, where="attribute", attribute="" if where != "attribute" else state.attribute)
        if where == "comment":
            return _with(state, quote=_PRINTED, prints=one.start)
        if where == "before":
            state = _with(state, where="bare", start=state.start if state.start >= 0 else one.start)
            if state.start == one.start:
                state = _with(state, depth=len(self._blocks))
        if where in ("double", "single"):
            self._quoted.add(one.start)
        if state.where in ("double", "single", "bare"):
            if state.attribute == "srcdoc" and not _is_authors(self._source, one):
                self._naked.setdefault(one.start, _REMEDY_SRCDOC)
            if state.attribute.startswith("on"):
                self._code[index] = self._code.get(index, False) or state.quote != ""
        elif state.where == "raw" and state.element == "script":
            self._code[index] = self._code.get(index, False) or state.quote != ""
            self._raw.add(index)
        return _with(state, prints=one.start) if state.prints < 0 and state.start >= 0 else state

    # Statements

    def _statement(self, one: Placeholder) -> None:
        found = _WORD.match(self._source, one.start, one.end)
        word = found[1] if found is not None else ""
        if word in _BRANCHES or word in _PLAIN_BLOCKS or word in _CAPTURES:
            if word == "set" and _SET.fullmatch(self._source, one.start, one.end) is None:
                return
            depth = len(self._blocks)
            self._states = {
                _with(state, start=one.start, depth=depth) if state.where == "before" and state.start < 0 else state
                for state in self._states
            }
            self._blocks.append(_Block(word, self._states, set()))
            if word in _CAPTURES:
                self._states = {_DATA}
        elif word in ("else", "elif") and self._blocks:
            block = self._blocks[-1]
            self._states = self._cut(one.start)
            block.ends = block.ends | self._states
            block.has_else = block.has_else or word == "else"
            self._states = block.before
        elif word.startswith("end") and self._blocks:
            self._states = self._cut(one.start)
            block = self._blocks.pop()
            if block.word in _CAPTURES:
                self._states = block.before
            else:
                self._states = self._states | block.ends
                if block.word in _BRANCHES and not block.has_else:
                    self._states |= block.before
                self._states = self._joined()

    def _joined(self) -> set[_State]:
        """Where a value without quotes may have nothing in it, it gets quotes whatever it has: what follows a blank
        would be the value."""
        bare = {state.start for state in self._states if state.where == "bare"}
        empty = {state.start for state in self._states if state.where == "before" and state.start >= 0}
        return {
            _with(state, where="bare", prints=state.start if state.prints < 0 else state.prints)
            if state.start in bare & empty and state.where in ("bare", "before")
            else state
            for state in self._states
        }

    def _cut(self, at: int) -> set[_State]:
        """The block ends in which some values began that have no quotes: they end here, unless something follows."""
        depth = len(self._blocks)
        cut: set[_State] = set()
        for state in self._states:
            if state.where == "bare" and state.depth >= depth:
                self._bare_ends(state, at, is_whole=True)
                state = _with(state, where="cut")
            cut.add(state)
        return cut

    # Text between them

    def _text(self, start: int, end: int, *, is_last: bool) -> None:
        if start < end:
            self._states = {self._walked(state, start, end, is_last=is_last) for state in self._states}

    def _walked(self, state: _State, at: int, end: int, *, is_last: bool) -> _State:
        while at < end:
            state, at = self._steps[state.where](state, at, end)
        return _DATA if state.where == "open" and is_last else state

    def _at_data(self, state: _State, at: int, end: int) -> tuple[_State, int]:
        found = _OPENING.search(self._source, at, end)
        if found is None:
            return state, end
        at = found.end()
        match found.lastgroup:
            case "if":
                # For whoever reads the inside there is nothing but the two marks around it; for all others it is like
                # any text of which nothing is shown, and brings nothing.
                return state, at
            case "comment":
                # `<!-->` is a whole comment.
                return _with(_DATA, where="comment", quote="--"), found.end()
            case "bogus":
                return _with(_DATA, where="bogus"), at
            case "last":
                return _with(_DATA, where="open"), at
        if self._source[at - 1] == "/":
            return _with(_DATA, where="name", element="/"), at
        if (usual := _USUAL.match(self._source, at, end)) is not None:
            return self._inside(usual[1].lower(), usual.end()), usual.end()
        return _with(_DATA, where="name"), at

    def _at_open(self, state: _State, at: int, _end: int) -> tuple[_State, int]:
        if self._source[at] == "/":
            return state, at + 1
        return (_with(state, where="name") if self._source[at].isalpha() else _DATA), at

    def _at_name(self, state: _State, at: int, end: int) -> tuple[_State, int]:
        found = _NAME.match(self._source, at, end)
        assert found is not None
        state = _with(state, element=state.element + found[0].lower())
        return (_with(state, where="tag") if found.end() < end else state), found.end()

    def _at_tag(self, state: _State, at: int, end: int) -> tuple[_State, int]:
        found = _BLANKS_AND_SLASHES.match(self._source, at, end)
        at = found.end() if found is not None else at
        if at == end:
            return state, at
        if self._source[at] == ">":
            return self._inside(state.element, at + 1), at + 1
        return _with(_DATA, where="attribute", element=state.element), at

    def _at_attribute(self, state: _State, at: int, end: int) -> tuple[_State, int]:
        pattern = _ATTRIBUTE if not state.attribute else _REST_OF_ATTRIBUTE
        found = pattern.match(self._source, at, end)
        assert found is not None
        state = _with(state, attribute=state.attribute + found[0].lower())
        return (_with(state, where="after") if found.end() < end else state), found.end()

    def _at_after(self, state: _State, at: int, end: int) -> tuple[_State, int]:
        found = _BLANKS.match(self._source, at, end)
        at = found.end() if found is not None else at
        if at == end:
            return state, at
        if self._source[at] == "=":
            return _with(state, where="before"), at + 1
        return _with(state, where="tag"), at

    def _at_before(self, state: _State, at: int, end: int) -> tuple[_State, int]:
        found = _BLANKS.match(self._source, at, end)
        at = found.end() if found is not None else at
        if at == end:
            return state, at
        depth = len(self._blocks)
        sign = self._source[at]
        if sign == ">":
            return self._inside(state.element, at + 1), at + 1
        if sign in "\"'":
            return _with(state, where="double" if sign == '"' else "single", start=at + 1, depth=depth), at + 1
        if state.start < 0:
            state = _with(state, start=at, depth=depth)
        return _with(state, where="bare"), at

    def _at_double(self, state: _State, at: int, end: int) -> tuple[_State, int]:
        return self._in_quotes(state, at, end, '"')

    def _at_single(self, state: _State, at: int, end: int) -> tuple[_State, int]:
        return self._in_quotes(state, at, end, "'")

    def _in_quotes(self, state: _State, at: int, end: int, quote: str) -> tuple[_State, int]:
        ends = self._source.find(quote, at, end)
        if ends < 0:
            return self._in_code(state, at, end), end
        self._value(state, ends)
        return _State("tag", state.element), ends + 1

    def _at_bare(self, state: _State, at: int, end: int) -> tuple[_State, int]:
        found = _END_OF_BARE.search(self._source, at, end)
        if found is None:
            return self._in_code(state, at, end), end
        self._bare_ends(state, found.start(), is_whole=state.depth == len(self._blocks))
        return _State("tag", state.element), found.start()

    def _bare_ends(self, state: _State, at: int, *, is_whole: bool) -> None:
        self._value(state, at)
        if state.prints < 0:
            return
        self._needing[state.start] = state.prints
        # A quote in it, outside of what the template writes, leaves no quotes to put around it.
        if not is_whole or self._quotes.get(state.start, at) != at or self._has_quote(state.start, at):
            self._naked.setdefault(state.prints, _REMEDY_QUOTE)
            self._quotes.pop(state.start, None)
        else:
            self._quotes[state.start] = at

    def _has_quote(self, start: int, end: int) -> bool:
        if not self._literals:
            self._literals = masked(self._source, self._found, "x")
        return '"' in self._literals[start:end]

    def _at_cut(self, state: _State, at: int, _end: int) -> tuple[_State, int]:
        if _END_OF_BARE.match(self._source, at) is None and state.prints >= 0:
            self._naked.setdefault(state.prints, _REMEDY_QUOTE)
        is_over = _END_OF_BARE.match(self._source, at) is not None
        return (_State("tag", state.element) if is_over else _with(state, where="bare")), at

    def _at_comment(self, state: _State, at: int, end: int) -> tuple[_State, int]:
        # The end of a comment may be cut by something that prints nothing.
        before = "" if state.quote == _PRINTED else state.quote
        cut = _END_OF_COMMENT.search(before + self._source[at : min(at + 4, end)])
        if cut is not None and cut.end() > len(before):
            return _DATA, at + cut.end() - len(before)
        if state.quote == _PRINTED and _REST_OF_END.match(self._source, at, end) is not None:
            self._naked.setdefault(state.prints, _REMEDY_COMMENT)
        found = _END_OF_COMMENT.search(self._source, at, end)
        if found is not None:
            return _DATA, found.end()
        return _with(state, quote=(before + self._source[max(at, end - 3) : end])[-3:], prints=-1), end

    def _at_bogus(self, state: _State, at: int, end: int) -> tuple[_State, int]:
        ends = self._source.find(">", at, end)
        return (_DATA, ends + 1) if ends >= 0 else (state, end)

    def _at_raw(self, state: _State, at: int, end: int) -> tuple[_State, int]:
        found = _END_OF_RAW[state.element].search(self._source, at, end)
        if found is None:
            return self._in_code(state, at, end), end
        self._value(state, found.start())
        return _with(_DATA, where="name", element="/"), found.start() + 2

    def _inside(self, element: str, at: int) -> _State:
        return _State("raw", element, start=at, depth=len(self._blocks)) if element in _END_OF_RAW else _DATA

    def _value(self, state: _State, end: int) -> None:
        if state.prints >= 0:
            self._values.setdefault((state.start, end), Value(state.start, end, state.element, state.attribute))

    def _in_code(self, state: _State, start: int, end: int) -> _State:
        """With the quote of the string that is open at the end."""
        if state.attribute[:2] != "on" and (state.where != "raw" or state.element != "script"):
            return state
        text = self._source[start:end]
        quote = state.quote
        for found in _QUOTES.findall(unescape(text) if state.where != "raw" else text):
            if found in ('"', "'", "`") and quote in ("", found):
                quote = "" if quote else found
        return _with(state, quote=quote)


def _is_authors(source: str, one: Placeholder) -> bool:
    """Whether the author alone decides what it prints, or answers for it."""
    written = source[one.start : one.end]
    return one.kind == "expression" and bool(
        _CHOICE.fullmatch(written[2:-2].strip("-+").strip()) or _SAFE.search(written)
    )


def look(source: str, found: Sequence[Placeholder]) -> Contexts:
    """What the placeholders of a source stand in. Takes the length of the source, times the ways it may be meant."""
    return _Walk(source, found).run()


def masked(source: str, found: Sequence[Placeholder], statements: str) -> str:
    """The source with letters in place of what prints, and this one in place of what does not, as many."""
    cut: list[str] = []
    at = 0
    for one in found:
        letter = "x" if one.kind in ("variable", "expression") else statements
        cut += (source[at : one.start], letter * (one.end - one.start))
        at = one.end
    return "".join([*cut, source[at:]])


def _with(state: _State, **changes: object) -> _State:
    return msgspec.structs.replace(state, **changes)
