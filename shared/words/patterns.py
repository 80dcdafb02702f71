"""Regular expressions over what strangers wrote: which are too slow to be let loose, and how many are searched at once.

Texts come from hosts that may mean us harm, and `re` tries all ways to match. So patterns that operators write are
checked before they are taken (`fault`).

Lists of patterns are long, and nearly all of them match nothing of a text. `Patterns` finds first which of them can, by
the literal pieces without which a pattern cannot match: `in` finds that a piece is not there some forty times faster
than `re` finds that there is nothing.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from operator import itemgetter

#: Repetitions of more than this count as endless.
MAX_REPEAT = 100
#: Shorter pieces are in every text.
MIN_PIECE_CHARS = 3
#: Characters of a key, as `Patterns.possible` takes them from a text: as short as the shortest piece.
KEY_CHARS = 3
#: More than these are no quicker than the pattern.
MAX_PIECES = 48
#: Pieces that nearly every text about mail has: a pattern is better known by whatever else it needs.
COMMON = frozenset(("mail", "user", "address", "account", "recipient", "mailbox", "message", "sender", "not", "has"))

_TOKEN = re.compile(
    r"""(?P<escape>\\.) | (?P<set>\[\^?\]?(?:\\.|[^\]\\])*\])
    | (?P<open>\((?:\?(?:[:=!>]|<[=!]|P<\w+>|[aimsux-]+[:)]))?) | (?P<close>\))
    | (?P<repeat>[*+]|\{(?:\d*,)?(?P<most>\d*)\}) | (?P<maybe>\?) | (?P<special>[.^$]) | (?P<or>\|) | (?P<literal>.)""",
    re.VERBOSE | re.DOTALL,
)
_CAPITALS = re.compile(r"[A-Z]")
_NOT_TEXT = re.compile(r"\\.|\(\?P[<=]")


def fault(pattern: str) -> str:
    """What makes this pattern wrong or slow over texts in lower case; empty if nothing."""
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        return f"is not a regular expression: {error}"
    if _CAPITALS.search(_NOT_TEXT.sub("", pattern)):
        return "has capital letters; it is compared with lower case"
    if compiled.search(""):
        return "matches every text"
    return _slowness(pattern)


def _slowness(pattern: str) -> str:
    endless = 0
    after_group = False
    for token in _TOKEN.finditer(pattern):
        if token["escape"] and token["escape"][1].isdigit():
            return "refers back to a group, which may take for ever"
        if token["repeat"]:
            if after_group:
                return "repeats a group, which may take for ever; repeat characters, or write it out"
            endless += token["repeat"] in "*+" or int(token["most"] or MAX_REPEAT + 1) > MAX_REPEAT
        after_group = bool(token["close"])
    if endless > 2:
        return "has more than two repetitions without end, which may take for ever; write .{0,40} instead of .*"
    return ""


Search = Callable[[str], object]


class Patterns:
    """Patterns in their order; an empty one is never found.

    Pieces are many, and texts are short. So each piece stands under the KEY_CHARS of it that fewest other pieces have,
    and what a text has of these keys says which pieces are worth looking for.
    """

    __slots__ = ("_always", "_by_key")

    def __init__(self, patterns: Iterable[str]) -> None:
        self._always: list[tuple[int, Search]] = []
        having: dict[str, list[tuple[int, Search]]] = {}
        for number, pattern in enumerate(patterns):
            for part in alternatives(pattern) if pattern else ():
                search = (number, re.compile(part).search)
                needed = pieces(part)
                for piece in needed:
                    having.setdefault(piece, []).append(search)
                if not needed:
                    self._always.append(search)
        self._by_key: dict[str, list[tuple[str, list[tuple[int, Search]]]]] = {}
        for piece, key in _keys(having):
            self._by_key.setdefault(key, []).append((piece, having[piece]))

    def possible(self, text: str) -> Iterator[tuple[int, Search]]:
        """Numbers of patterns that may match, from the first, each with what finds out; one may come repeatedly."""
        found = self._always.copy()
        by_key = self._by_key
        for key in by_key.keys() & set(map("".join, zip(text, text[1:], text[2:], strict=False))):
            for piece, searches in by_key[key]:
                if piece in text:
                    found += searches
        return iter(sorted(found, key=_number))

    def first(self, text: str) -> int | None:
        """The number of the first that is found in the text."""
        return next((number for number, search in self.possible(text) if search(text)), None)


def _keys(having: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Each piece and its key."""
    keys = {piece: {piece[at : at + KEY_CHARS] for at in range(len(piece) - KEY_CHARS + 1)} for piece in having}
    often = Counter(key for of_piece in keys.values() for key in of_piece)
    for piece, of_piece in keys.items():
        yield piece, min(of_piece, key=lambda key: (often[key], key))


_number = itemgetter(0)


def alternatives(pattern: str) -> list[str]:
    """What the bars outside all groups divide; the whole where a flag is set."""
    ends, depth = [-1], 0
    for token in _TOKEN.finditer(pattern):
        if token["open"]:
            if token["open"].endswith(")"):
                return [pattern]
            depth += 1
        depth -= bool(token["close"])
        if token["or"] and not depth:
            ends.append(token.start())
    return [pattern[start + 1 : end] for start, end in pairwise((*ends, len(pattern)))]


def pieces(pattern: str) -> tuple[str, ...]:
    """Texts of which each match of the pattern contains at least one; () if nothing of use is known. To know less is
    slow, to know wrong is a bug: so what is optional, repeated or ahead counts for nothing."""
    if re.search(r"\(\?[aimsux-]+\)", pattern):
        return ()  # flags: they may change what a letter means
    return _of_alternatives(list(_TOKEN.finditer(pattern)))[0]


def _of_alternatives(tokens: list[re.Match[str]]) -> tuple[tuple[str, ...], list[re.Match[str]]]:
    """The pieces of the alternatives up to the end of their group, and the tokens after it. Each alternative is a
    sequence of things that must all be there; the one with the longest shortest piece stands for it."""
    found: list[tuple[str, ...]] = []
    must: list[tuple[str, ...]] = []
    run = ""
    while tokens:
        token, tokens = tokens[0], tokens[1:]
        optional = bool(tokens) and bool(tokens[0]["maybe"] or (tokens[0]["repeat"] and tokens[0]["repeat"] != "+"))
        literal = (
            token["literal"] or (token["escape"] and not token["escape"][1].isalnum() and token["escape"][1]) or ""
        )
        if literal and not optional:
            run += literal
            continue
        must.append((run,))
        run = ""
        if token["open"]:
            inner, tokens = _of_alternatives(tokens)
            optional = bool(tokens) and bool(tokens[0]["maybe"] or (tokens[0]["repeat"] and tokens[0]["repeat"] != "+"))
            ahead = token["open"] in ("(?=", "(?!", "(?<=", "(?<!")
            must.append(() if optional or ahead else inner)
        elif token["or"] or token["close"]:
            found.append(_best(must))
            must = []
            if token["close"]:
                return _joined(found), tokens
    return _joined([*found, _best([*must, (run,)])]), []


def _best(must: list[tuple[str, ...]]) -> tuple[str, ...]:
    return max(must, key=lambda any_of: min(map(_worth, any_of), default=0), default=())


def _worth(piece: str) -> int:
    return MIN_PIECE_CHARS if piece.strip() in COMMON and len(piece) >= MIN_PIECE_CHARS else len(piece)


def _joined(found: list[tuple[str, ...]]) -> tuple[str, ...]:
    joined = tuple(dict.fromkeys(piece for any_of in found for piece in any_of))
    useful = all(any_of and min(map(len, any_of)) >= MIN_PIECE_CHARS for any_of in found)
    return joined if useful and len(joined) <= MAX_PIECES else ()
