"""`estafette classify FILE…`: what received mails are, one JSON line for each recipient that they report."""

import sys
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec
import orjson

from services.console.session import fail


@click.command()
@click.argument("files", nargs=-1, metavar="[FILE]…")
@click.option("--text", default="", metavar="REPLY", help='One reply of a host instead, as "550 5.1.1 User unknown".')
def classify(files: tuple[str, ...], text: str) -> None:
    """What received mails are: bounces, delays, complaints, unsubscriptions, automatic answers, replies.

    A FILE is a mail, an mbox, a Maildir or a folder of mails; - is standard input. Each reported recipient is a line of
    JSON. A file that cannot be read is named on standard error, the others go on, and the exit code is 1.
    """
    from services.bounces import classified

    if bool(files) == bool(text):
        fail("give files, or --text and a reply")
    if text:
        _show(None, classified.of_reply(text))
        return
    has_failed = False
    for name in files:
        try:
            for shown, raw in _mails(name):
                for row in classified.of_mail(raw):
                    _show(shown, row)
        except OSError as error:
            has_failed = True
            click.echo(f"{name}: {error.strerror or error}", err=True)
    if has_failed:
        sys.exit(1)


def _show(file: str | None, row: msgspec.Struct) -> None:
    click.echo(orjson.dumps({"file": file, **msgspec.to_builtins(row)}).decode())


def _mails(name: str) -> Iterator[tuple[str, bytes]]:
    """(name, mail) of each mail in a file or folder; a mail of an mbox is `<file>:<number>`, from 1. OSError."""
    if name == "-":
        yield from _of_bytes("-", sys.stdin.buffer.read())
        return
    path = Path(name)
    if not path.is_dir():
        yield from _of_bytes(name, path.read_bytes())
        return
    is_maildir = (path / "cur").is_dir() and (path / "new").is_dir()
    folders = [path / "new", path / "cur"] if is_maildir else [path]
    for folder in folders:
        for file in sorted(folder.rglob("*")):
            if file.is_file() and not file.name.startswith("."):
                yield from _of_bytes(str(file), file.read_bytes())


def _of_bytes(name: str, raw: bytes) -> Iterator[tuple[str, bytes]]:
    pieces = raw.split(b"\n\nFrom ") if raw.startswith(b"From ") else [raw]
    if len(pieces) == 1:
        yield name, raw
        return
    yield f"{name}:1", pieces[0] + b"\n"
    yield from ((f"{name}:{number}", b"From " + piece + b"\n") for number, piece in enumerate(pieces[1:], 2))
