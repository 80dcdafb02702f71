"""How commands show what they found: a table for people, or with `--json` one JSON document for scripts."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click
import msgspec

#: The option of every command that shows something.
as_json: Callable[[Any], Any] = click.option("--json", "as_json", is_flag=True, help="For scripts: one JSON document.")


def show_json(content: Any) -> None:
    """A Struct, or what is made of them."""
    click.echo(msgspec.json.format(msgspec.json.encode(content), indent=2).decode())


def show_table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Columns as wide as they need; numbers stand to the right. With no rows nothing at all."""
    if not rows:
        return
    texts = [["-" if cell in (None, "") else plain(str(cell)) for cell in row] for row in rows]
    widths = [max(len(head), *(len(row[at]) for row in texts)) for at, head in enumerate(heads)]
    right = [all(isinstance(row[at], int | float) for row in rows) for at in range(len(heads))]
    for row in (list(heads), *texts):
        cells = (
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(row, widths, right, strict=True)
        )
        click.echo("  ".join(cells).rstrip())


def details_line(details: Mapping[str, object]) -> str:
    """What an event has besides, in one line; not what is empty."""
    return plain("  ".join(f"{name}={value}" for name, value in details.items() if value not in (None, "", 0)))


def plain(text: str) -> str:
    """What others wrote, such as a subject or a host's reply, as a terminal may be given it: without what moves the
    cursor, colours or rings."""
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text)
