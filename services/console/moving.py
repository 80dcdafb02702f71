"""`estafette suppressions import` and `export`: a tenant's whole list from a file, and into one."""

import secrets
import sys
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from services.console.session import fail, need_tenant, with_redis
from services.console.tables import as_json, show_json, show_table
from shared.process.settings import Settings

if TYPE_CHECKING:
    from services.suppression.moving.forms import Asked
    from services.suppression.moving.running import Run

#: What is read of a file at a time.
_READ_BYTES = 65_536
_JSON = (".json", ".ndjson", ".jsonl")


@click.command("import")
@click.argument("tenant")
@click.argument("file", type=click.File("rb"))
@click.option("--dry-run", is_flag=True, help="Only say what would become of each line.")
@click.option("--format", "format_", default="", help="Whose file it is; else its heading says so.")
@click.option("--column", multiple=True, metavar="ROLE=NAME", help="What a column is called: email, optin or status.")
@click.option("--reason", default="", help="What all lines of a list of mere addresses mean, as unsubscribed.")
@click.option("--charset", default="", help="In which encoding the file is, if it does not show it.")
@click.option("--report", type=click.File("w", encoding="utf-8"), help="Where the lines are told that need a look.")
@as_json
def import_suppressions(
    tenant: str,
    file: IO[bytes],
    dry_run: bool,
    format_: str,
    column: tuple[str, ...],
    reason: str,
    charset: str,
    report: IO[str] | None,
    as_json: bool,
) -> None:
    """Apply a file to a tenant's list: who left, bounced or is back, or what another engine wrote down. FILE is a CSV,
    JSON if it is called so, or - for what comes in. Exit code 1 if a line was refused."""
    from services.suppression.moving.forms import asked_of

    try:
        asked = asked_of(format_, dict(one.partition("=")[::2] for one in column), reason)
    except ValueError as fault:
        fail(str(fault))

    async def working(client: Any, settings: Settings) -> "Run":
        return await _imported(client, settings, tenant, file, asked, charset, dry_run)

    run = with_redis(working)
    progress = run.progress
    if report is not None:
        report.writelines(run.import_.telling.rows())
    if as_json:
        show_json(progress)
    else:
        show_table(("result", "lines"), [(word, count) for word, count in progress.counts.items() if count])
        for warning in progress.warnings:
            click.echo(f"{warning.at}: {warning.what}", err=True)
        done = "read, nothing was changed" if dry_run else "applied"
        click.echo(f"{progress.lines} lines {done} ({progress.format}, {progress.encoding}; import {progress.id})")
    if progress.counts["refused"]:
        raise SystemExit(1)


async def _imported(
    client: Any, settings: Settings, tenant: str, file: IO[bytes], asked: "Asked", charset: str, dry_run: bool
) -> "Run":
    """The import, at its end. ValueError and LookupError in words."""
    from services.suppression.moving.imports import Imports
    from services.suppression.moving.running import Runs, Source
    from shared.process import logs
    from shared.process.clock import now_ms

    logs.configure("console", settings.logs.level)
    book, softs = await _parts(client, settings, tenant)
    runs = Runs(book, softs, Imports(client, settings.redis.partitions, now_ms), now_ms, time.monotonic)
    source = Source(Path(file.name).suffix in _JSON, charset)
    run = runs.new(tenant, f"console-{secrets.token_hex(8)}", asked, source, dry_run=dry_run)
    await run.begin()
    while piece := file.read(_READ_BYTES):
        await run.read(piece)
    await run.read(b"", last=True)
    await run.apply()
    return run


@click.command("export")
@click.argument("tenant")
@click.option("--delimiter", type=click.Choice(["comma", "semicolon", "tab"]), default="comma", show_default=True)
def export_suppressions(tenant: str, delimiter: Any) -> None:
    """Write a tenant's whole list as CSV, which the import reads back unchanged."""
    from services.suppression.moving.exporting import DELIMITERS, pieces
    from shared.process.clock import now_ms

    out = sys.stdout.buffer

    async def working(client: Any, settings: Settings) -> None:
        book, _ = await _parts(client, settings, tenant)
        async for piece in pieces(book, tenant, DELIMITERS[delimiter], now_ms()):
            out.write(piece)
        out.flush()

    with_redis(working)


async def _parts(client: Any, settings: Settings, tenant: str) -> tuple[Any, Any]:
    """The list as imports and exports use it, and who counts soft bounces. LookupError if there is no such tenant."""
    from services.suppression.book import Book
    from services.suppression.escalated import escalation
    from services.suppression.rule_book import RuleBook
    from services.suppression.settings import Suppression
    from services.suppression.softs import Softs
    from services.suppression.store import Lists

    await need_tenant(client, tenant)
    partitions = settings.redis.partitions
    lists = Lists(client, partitions)
    rules = RuleBook(client, settings.of(Suppression).rules, time.monotonic)
    return Book(client, partitions, lists), Softs(escalation(client, partitions, lists, rules))
