"""`estafette rewrite FILE.html`: what becomes of the links of an HTML in a mail, without sending one."""

import sys
from pathlib import Path
from typing import Any

import click

from services.console.session import fail, in_force
from services.console.tables import as_json, show_json, show_table

#: The message of which the sample tokens are: their secret is known to everybody, so they lead nowhere.
_JOB, _SECRET = "00000000000000000000", b"sample tokens of estafette rewrite"


@click.command()
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--map", "as_map", is_flag=True, help="The table of links in place of the HTML.")
@click.option("--base-url", default="", help="What links begin with; that of the settings where it is not given.")
@click.option("--utm-source", default="", help="With this UTM parameter on each link that has none.")
@as_json
def rewrite(file: Path, as_map: bool, base_url: str, utm_source: str, as_json: bool) -> None:
    """The HTML of a mail with its links rewritten, with sample tokens; `-` reads standard input. Exit code 1 if a job
    with it would be refused."""
    from services.queueing.sampling import sample
    from shared.mail.templates import InvalidTemplate
    from shared.words.tokens import TokenKeys
    from shared.words.utm import Utm

    raw = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    text, charset = _decoded(raw)
    base = (base_url or in_force().base_url or "https://links.example.com").rstrip("/")
    made = TokenKeys(_SECRET).for_job(_JOB, "sample")
    mark = made.mark("somebody@example.com")

    def document_url(position: int, destination: str, name: str) -> str:
        return f"{base}/d/{made.document(0, mark, position, destination, name).decode('ascii')}"

    def click_url(position: int, destination: str) -> str:
        return f"{base}/c/{made.click(0, mark, position, destination).decode('ascii')}"

    try:
        found = sample(text, click_url, Utm((("utm_source", utm_source),)) if utm_source else None, document_url)
    except InvalidTemplate as error:
        fail(f"{file}: the template does not compile: {error}")
    if as_map or as_json:
        _show_map(found.links, as_json)
    else:
        sys.stdout.buffer.write(found.source.encode(charset))
        sys.stdout.buffer.flush()
    for what in found.faults:
        click.echo(f"estafette: {file}: {what}", err=True)
    if found.faults:
        raise SystemExit(1)


def _decoded(raw: bytes) -> tuple[str, str]:
    """The text, and the charset in which its bytes are the same again; what is not UTF-8 is taken byte by byte."""
    try:
        return raw.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        return raw.decode("latin-1"), "latin-1"


def _show_map(links: Any, as_json: bool) -> None:
    if as_json:
        show_json(links)
        return
    rows = [
        (one.position, one.line, "yes" if one.tracked else "no", one.name, one.document, one.value) for one in links
    ]
    show_table(("position", "line", "tracked", "name", "document", "leads to"), rows)
