"""`estafette contact-imports`: what a tenant imports, how far it is, and that a file is imported."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from services.console.contact_base import of_tenant, with_base
from services.console.session import fail, minute
from services.console.tables import as_json, plain, show_json, show_table

if TYPE_CHECKING:
    from services.contacts.base.database import Database

_COUNTS = ("added", "updated", "unchanged", "replaced", "refused", "reactivated")
#: By the end of its name a file is JSON, an object a line, or has tabs between its cells.
_JSON, _TABS = (".json", ".jsonl", ".ndjson"), (".tsv",)


@click.group("contact-imports")
def contact_imports() -> None:
    """Imports of contacts: list, show, start."""


@contact_imports.command("list")
@click.argument("tenant")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
@as_json
def list_imports(tenant: str, limit: int, as_json: bool) -> None:
    """The last imports, the latest first."""
    from services.contacts.imports.store import Imports

    async def look(database: "Database") -> Any:
        return await Imports(database).last((await of_tenant(database, tenant)).number, None, limit)

    found = with_base(tenant, look)
    if as_json:
        show_json([_shown(one) for one in found])
        return
    rows = [
        (one.import_, one.name, one.state, "yes" if one.dry_run else "", one.lines, one.added, one.updated, one.refused)
        for one in found
    ]
    show_table(("import", "name", "state", "trial", "lines", "added", "updated", "refused"), rows)


@contact_imports.command("show")
@click.argument("tenant")
@click.argument("number", metavar="IMPORT", type=click.IntRange(1, 2**31 - 1))
@click.option("--lines", type=click.IntRange(0, 1000), default=20, show_default=True, help="Of its report.")
@as_json
def show(tenant: str, number: int, lines: int, as_json: bool) -> None:
    """How far an import is, what is to be looked at, and the first lines of its report."""
    from services.contacts.imports.store import Imports

    async def look(database: "Database") -> Any:
        imports, of = Imports(database), await of_tenant(database, tenant)
        found = await imports.get(of.number, number)
        if found is None:
            raise LookupError(f"{tenant} has no import {number}")
        return found, await imports.report(of.number, number, 0, lines) if lines else []

    found, told = with_base(tenant, look)
    if as_json:
        show_json({**_shown(found), "report": [one._asdict() for one in told]})
        return
    trial = ", a trial that changes nothing" if found.dry_run else ""
    click.echo(f"import {found.import_} {plain(found.name)}: {found.state}{trial}, {found.lines} lines")
    click.echo(", ".join(f"{getattr(found, name)} {name}" for name in _COUNTS))
    for text in (found.detail, *(f"{fault.at}: {fault.what}" for fault in found.warnings)):
        if text:
            click.echo(plain(text))
    show_table(("line", "contact", "result", "what"), [(one.line, one.key, one.result, one.what) for one in told])


@contact_imports.command("start")
@click.argument("tenant")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--name", default=None, help="What people call it; else the name of the file.")
@click.option("--dry-run", is_flag=True, help="Report what would become of each line, and change nothing.")
@click.option("--new-only", is_flag=True, help="Leave who is there as they are.")
@click.option("--column", "columns", multiple=True, help="HEADING=FIELD, or HEADING= for nothing; may be given again.")
@click.option("--charset", default="", help="The encoding of the file, as windows-1252.")
@as_json
def start(tenant: str, file: Path, dry_run: bool, new_only: bool, as_json: bool, **asked: Any) -> None:
    """Import a file: it is kept, then read and written by the service `contacts`; `show` tells how far that is."""
    from services.contacts.base import store
    from services.contacts.imports.columns import of_tenant as columns_of
    from services.contacts.imports.reading import Asked
    from services.contacts.imports.store import PIECE_BYTES, Imports
    from shared.tabular.encodings import UnknownCharset, charset

    try:
        charset(asked["charset"])
    except UnknownCharset as fault:
        fail(str(fault))
    mapping, suffix = _mapping(asked["columns"]), file.suffix.lower()

    async def do(database: "Database") -> Any:
        imports = Imports(database)
        async with database.transaction() as sql:
            of = await store.tenant(sql, tenant)
            fields = await store.fields(sql, of.number)
        how = Asked(
            of.key_field,
            columns_of(fields.values()),
            suffix in _JSON,
            asked["charset"],
            "\t" if suffix in _TABS else "",
            mapping,
        )
        name = file.name if asked["name"] is None else asked["name"]
        number = await imports.create(of.number, how, name=name, dry_run=dry_run, only_new=new_only, by="operator")
        with file.open("rb") as read:
            for place, piece in enumerate(iter(lambda: read.read(PIECE_BYTES), b"")):
                await imports.receive(of.number, number, place, piece)
        await imports.is_there(of.number, number)
        return await imports.get(of.number, number)

    found = with_base(tenant, do)
    if as_json:
        show_json(_shown(found))
    else:
        click.echo(
            f"import {found.import_} of {tenant} has begun: estafette contact-imports show {tenant} {found.import_}"
        )


def _mapping(columns: tuple[str, ...]) -> dict[str, str | None] | None:
    """By heading the field that it is; None where nobody said any."""
    found: dict[str, str | None] = {}
    for one in columns:
        heading, sign, field = one.rpartition("=")
        if not sign or not heading:
            fail(f"--column takes HEADING=FIELD, not {one!r:.60}")
        found[heading] = field or None
    return found or None


def _shown(found: Any) -> dict[str, Any]:
    return {
        "import": found.import_,
        "name": found.name,
        "state": found.state,
        "dry_run": found.dry_run,
        "mode": "new_only" if found.only_new else "update",
        "bytes": found.bytes,
        "lines": found.lines,
        "results": {name: getattr(found, name) for name in _COUNTS},
        "warnings": msgspec.to_builtins(found.warnings),
        "detail": found.detail,
        "created": minute(round(found.created_at.timestamp() * 1000)),
        "ended": None if found.ended_at is None else minute(round(found.ended_at.timestamp() * 1000)),
    }
