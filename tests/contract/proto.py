"""A strict reader of the proto3 that `proto/` is written in: messages of fields, and nothing else.

What it does not know (enum, oneof, map, nested messages, options) it refuses: a contract in a form that no test
compares would be no contract.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

SCALARS = frozenset({"string", "bool", "uint32", "int64", "double", "bytes"})
#: What stands in for a message of Google's: the file that has to be imported for it.
WELL_KNOWN = {"google.protobuf.Struct": "google/protobuf/struct.proto"}

_TOKEN = re.compile(r'(?P<space>\s+)|//(?P<comment>[^\n]*)|(?P<text>"[^"\n]*")|(?P<word>[\w.]+)|(?P<mark>[={};,])')


@dataclass(frozen=True)
class Field:
    """`comment` is what stands behind the field on its line. A reserved number has the type `reserved`."""

    number: int
    name: str
    type: str
    optional: bool
    comment: str


@dataclass(frozen=True)
class Message:
    name: str
    comment: str
    fields: tuple[Field, ...]


@dataclass(frozen=True)
class File:
    package: str
    imports: tuple[str, ...]
    messages: tuple[Message, ...]


class Fault(ValueError):
    """The text is not in the form that `proto/` is written in; says the line."""


@dataclass
class _Tokens:
    """Words and marks in order. Comments are kept beside them, by line: `above` a message, `behind` a field."""

    tokens: list[tuple[str, int]] = field(default_factory=list)
    comments: dict[int, str] = field(default_factory=dict)
    at: int = 0

    def take(self, expected: str | None = None, pattern: str | None = None) -> str:
        if self.at == len(self.tokens):
            raise Fault("the text ends early")
        token, line = self.tokens[self.at]
        if (expected is not None and token != expected) or (pattern is not None and not re.fullmatch(pattern, token)):
            raise Fault(f"line {line}: {token!r} where {expected or pattern} is wanted")
        self.at += 1
        return token

    def follows(self, token: str) -> bool:
        return self.at < len(self.tokens) and self.tokens[self.at][0] == token

    def line(self) -> int:
        """Of the token taken last."""
        return self.tokens[self.at - 1][1]

    def above(self, line: int) -> str:
        lines: list[str] = []
        while (line := line - 1) in self.comments:
            lines.insert(0, self.comments[line])
        return " ".join(lines)


def parse(text: str) -> File:
    """The file's messages. Fault if anything is not as this house writes it, a gap in the numbers too."""
    tokens = _tokens(text)
    for word in ("syntax", "=", '"proto3"', ";", "package"):
        tokens.take(word)
    package = tokens.take(pattern=r"[a-z]\w*(\.[a-z]\w*)*")
    tokens.take(";")
    imports = tuple(_imports(tokens))
    messages = []
    while tokens.at < len(tokens.tokens):
        messages.append(_message(tokens, imports))
    return File(package, imports, tuple(messages))


def load(folder: Path) -> dict[str, Message]:
    """Every message of the folder's `.proto` files by name. Fault if two have one name."""
    messages: dict[str, Message] = {}
    for path in sorted(folder.glob("*.proto")):
        for message in parse(path.read_text(encoding="utf-8")).messages:
            if message.name in messages:
                raise Fault(f"{path.name}: a second message {message.name}")
            messages[message.name] = message
    return messages


def _tokens(text: str) -> _Tokens:
    result = _Tokens()
    at, line = 0, 1
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise Fault(f"line {line}: {text[at]!r} is not known here")
        if match["comment"] is not None:
            result.comments[line] = match["comment"].strip()
        elif match["space"] is None:
            result.tokens.append((match[0], line))
        line += match[0].count("\n")
        at = match.end()
    return result


def _imports(tokens: _Tokens) -> Iterator[str]:
    while tokens.follows("import"):
        tokens.take("import")
        yield tokens.take(pattern=r'"[^"]+"').strip('"')
        tokens.take(";")


def _message(tokens: _Tokens, imports: tuple[str, ...]) -> Message:
    tokens.take("message")
    comment = tokens.above(tokens.line())
    name = tokens.take(pattern=r"[A-Z]\w*")
    tokens.take("{")
    fields: list[Field] = []
    while not tokens.follows("}"):
        one = _reserved(tokens) if tokens.follows("reserved") else _field(tokens, imports)
        if one.number != len(fields) + 1:
            raise Fault(f"{name}.{one.name}: number {one.number} at place {len(fields) + 1}")
        if one.name in {other.name for other in fields}:
            raise Fault(f"{name}.{one.name} is there twice")
        fields.append(one)
    tokens.take("}")
    return Message(name, comment, tuple(fields))


def _field(tokens: _Tokens, imports: tuple[str, ...]) -> Field:
    optional = tokens.follows("optional")
    if optional:
        tokens.take("optional")
    kind = tokens.take()
    if kind not in SCALARS and WELL_KNOWN.get(kind) not in imports:
        raise Fault(f"line {tokens.line()}: the type {kind} is not known here")
    name = tokens.take(pattern=r"[a-z][a-z0-9_]*")
    tokens.take("=")
    number = int(tokens.take(pattern=r"[1-9][0-9]*"))
    tokens.take(";")
    return Field(number, name, kind, optional, tokens.comments.get(tokens.line(), ""))


def _reserved(tokens: _Tokens) -> Field:
    """`reserved 9;  // Was …`: its element stays, as nil, and in the Struct `reserved_9` holds the place."""
    tokens.take("reserved")
    number = int(tokens.take(pattern=r"[1-9][0-9]*"))
    tokens.take(";")
    comment = tokens.comments.get(tokens.line(), "")
    if not comment:
        raise Fault(f"line {tokens.line()}: say what number {number} was")
    return Field(number, f"reserved_{number}", "reserved", True, comment)
