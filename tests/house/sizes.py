"""How long files, classes and functions are, and which are longer than they may be: `python -m tests.house.sizes`."""

import ast
import sys
from collections.abc import Iterator
from math import inf
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("services", "shared", "loadtests", "tests")

#: Lines, by what has them. A file counts with all of it, a class and a function from `class` or `def` to their end. A
#: file of tests is chapters that are read one at a time: of tests only functions have a limit.
MOST = {"file": 500, "class": 300, "function": 60}

#: Files that are one table, read by looking something up and not from top to bottom: they may be as long as it is.
TABLES = {
    "shared/redis/keys.py": "every key of Redis with its type, meaning and lifetime",
    "shared/words/events.py": "every message on the streams, field by field",
    "shared/words/replies.py": "what hosts say, by phrase",
}

#: What is too long today, with its lines then: it may shrink and not grow, and what is short enough is struck off.
#: Beside each stands what it is going to be.
TOO_LONG: dict[str, int] = {}


class Piece(NamedTuple):
    """`name` is the path of a file, or that and the name of what is in it."""

    kind: str
    name: str
    lines: int


def pieces(source: str, text: str) -> Iterator[Piece]:
    yield Piece("file", source, len(text.splitlines()))
    if source.endswith(".py"):
        yield from _inside(source, ast.parse(text), "")


def _inside(source: str, parent: ast.AST, within: str) -> Iterator[Piece]:
    for node in ast.iter_child_nodes(parent):
        name = within
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            name = f"{within}.{node.name}" if within else node.name
            kind = "class" if isinstance(node, ast.ClassDef) else "function"
            yield Piece(kind, f"{source} {name}", (node.end_lineno or node.lineno) - node.lineno + 1)
        yield from _inside(source, node, name)


def limit(piece: Piece) -> float:
    """What it may have, where nothing is known of it."""
    if piece.kind == "function" and piece.name.endswith(("http.py routes", "stopping.py routes")):
        return inf  # a table: each route with all that is told of it
    is_free = piece.name in TABLES or (piece.kind != "function" and piece.name.startswith("tests/"))
    return inf if is_free else MOST[piece.kind]


def all_pieces() -> list[Piece]:
    sources = sorted(
        file.relative_to(ROOT).as_posix()
        for folder in FOLDERS
        for kind in ("*.py", "*.lua")
        for file in (ROOT / folder).rglob(kind)
    )
    return [piece for source in sources for piece in pieces(source, (ROOT / source).read_text("utf-8"))]


def faults(found: list[Piece], known: dict[str, int]) -> list[str]:
    """What is longer than it may be, and what is `known` to be and is not."""
    over = {piece.name: piece for piece in found if piece.lines > limit(piece)}
    return [
        *(
            f"{piece.name}: {piece.lines} lines, of at most {known.get(piece.name, limit(piece))}"
            for piece in over.values()
            if piece.lines > known.get(piece.name, limit(piece))
        ),
        *(f"{name}: is short enough or gone, strike it off TOO_LONG" for name in known if name not in over),
    ]


def main() -> int:
    found = all_pieces()
    for kind, most in MOST.items():
        lines = sorted(piece.lines for piece in found if piece.kind == kind)
        print(
            f"{kind:8} {len(lines):5}: median {lines[len(lines) // 2]:3}, 95 % {lines[len(lines) * 95 // 100]:3}, "
            f"at most {most} but for"
        )
        for piece in found:
            if piece.kind == kind and piece.lines > most:
                print(f"{piece.lines:14} {piece.name}: {why(piece)}")
    wrong = faults(found, TOO_LONG)
    print(*wrong, sep="\n", end="\n" if wrong else "")
    return 1 if wrong else 0


def why(piece: Piece) -> str:
    if piece.name in TOO_LONG:
        return f"to be cut, was {TOO_LONG[piece.name]}"
    return TABLES.get(piece.name, "tests" if limit(piece) == inf else "too long")


if __name__ == "__main__":
    sys.exit(main())
