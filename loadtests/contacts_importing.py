"""Imports: lines a second of a file that adds contacts and of one that changes them, beside PostgreSQL's own COPY.

python -m loadtests.contacts_importing --contacts 100000    of 20 fields each, and an address, a number and the opt-in

The file comes as an upload does, is read, and its batches are written by the main path of imports: all of that counts.
First everybody is new; then the same contacts come again, and every other one has another text and another number.
COPY gets the very rows that the base has then, into a table with the same indexes and without anything to compare, once
before and once behind. CPU is told apart: this process, and the server's. The last line is JSON.
"""

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from loadtests import segments
from loadtests.contacts_following import own_seconds, server_seconds
from services.contacts import migrating
from services.contacts.base import store as contacts_store
from services.contacts.base.database import Database
from services.contacts.imports.columns import of_tenant
from services.contacts.imports.importing import Importing
from services.contacts.imports.reading import Asked
from services.contacts.imports.store import PIECE_BYTES, Imports, Progress
from services.contacts.imports.writing import Writer
from shared.process.lifecycle import settle
from tests.servers import PostgresServer

HEADING = ";".join([
    "email", "mobile", *(f"text{n}" for n in range(1, 11)), *(f"number{n}" for n in range(1, 5)),
    *(f"date{n}" for n in range(1, 4)), *(f"choice{n}" for n in range(1, 4)), "Opt-In Email",
])  # fmt: skip
#: Of the base that are written by COPY: enough to tell its pace.
COPIED = 200_000
_LINES_AT_ONCE = 10_000
_BARE = "create table bare (like contacts including all)"
_COLUMNS = (
    "tenant, contact, key, email, email_key, mobile, texts, folded, numbers, dates, choices, email_optin, email_left"
)


def line(n: int, *, changed: bool) -> str:
    """Of the contact with this number; `changed`: every other one has another town and another number of points."""
    other = int(changed and n % 2 == 0)
    day, month = n % 28 + 1, n % 12 + 1
    return (
        f"u{n}@exemple.fr;+336{n % 10**8:08};Nom{n * 7919 % 50_000};Prenom{n * 31 % 3_000};{n % 12_000} rue de la Paix;"
        f"Ville{(n + other) * 13 % 36_000};{n * 977 % 95_000:05};{'fr' if n % 5 else ''};"
        f"{'' if n % 2 else f'Société {n % 9_999}'};C{n};tag{n % 50};{f'note {n % 777}' if n % 3 else ''};"
        f"{(n + other) * 17 % 1000};{n % 90 if n % 4 else ''};{n % 365},5;{n * 3 % 77};"
        f"{day:02}/{month:02}/{1950 + n % 60};{f'2023-{month:02}-{day:02}' if n % 3 else ''};2024-{month:02}-{day:02};"
        f"value{n % 12};value{n % 4};value{n % 7};{'Oui' if n % 10 < 8 else 'Non'}\n"
    )


def write_file(path: Path, contacts: int, *, changed: bool) -> None:
    with path.open("w") as file:
        file.write(HEADING + "\n")
        for start in range(1, contacts + 1, _LINES_AT_ONCE):
            numbers = range(start, min(start + _LINES_AT_ONCE, contacts + 1))
            file.write("".join([line(n, changed=changed) for n in numbers]))


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            yield piece


async def imported(database: Database, path: Path) -> Progress:
    """From the first byte of the upload to the end."""
    imports = Imports(database)
    async with database.connection() as sql:
        fields = of_tenant((await contacts_store.fields(sql, 1)).values())
    number = await imports.create(1, Asked("email", fields))
    for at, piece in enumerate(_pieces(path)):
        await imports.receive(1, number, at, piece)
    await imports.is_there(1, number)
    taken = await imports.take()
    assert taken is not None
    await Importing(imports, Writer(database)).run(taken)
    found = await imports.get(1, number)
    assert found is not None
    assert found.state == "done", found
    return found


async def copied(database: Database, folder: Path, contacts: int) -> float:
    """Rows a second of COPY, of those that the base has."""
    async with database.connection() as sql:
        rows: Any = sql
        path = folder / "rows"
        count = min(contacts, COPIED)
        await rows.copy_from_query(
            f"select {_COLUMNS} from contacts where tenant = 1 and contact <= {count}",
            output=str(path),
            timeout=3_600,
        )
        await sql.execute("drop table if exists bare")
        await sql.execute(_BARE)
        began = time.perf_counter()
        await rows.copy_to_table("bare", source=str(path), columns=_COLUMNS.split(", "), timeout=3_600)
        took = time.perf_counter() - began
        await sql.execute("drop table bare")
    return count / took


async def measured(url: str, pid: int, folder: Path, contacts: int) -> dict[str, Any]:
    """In an empty database."""
    database = Database(url, 4, 600)
    found: dict[str, Any] = {}
    try:
        await migrating.migrate(database, migrating.steps())
        async with database.transaction() as sql:
            await sql.execute("insert into tenants (name, next_field) values ('acme', 100)")
            await sql.execute(segments.FIELDS)
        settle()  # as the process of contacts does
        copies = []
        for word, changed in (("added", False), ("changed", True)):
            path = folder / "contacts.csv"
            write_file(path, contacts, changed=changed)
            began, server, own = time.perf_counter(), server_seconds(pid), own_seconds()
            outcome = await imported(database, path)
            took = time.perf_counter() - began
            expected = (0, contacts // 2, contacts - contacts // 2) if changed else (contacts, 0, 0)
            assert (outcome.added, outcome.updated, outcome.unchanged) == expected, outcome
            found |= {
                f"import_{word}_per_s": round(contacts / took),
                f"import_{word}_own_us": round((own_seconds() - own) / contacts * 1e6, 1),
                f"import_{word}_server_us": round((server_seconds(pid) - server) / contacts * 1e6, 1),
            }
            copies.append(await copied(database, folder, contacts))
        copy_per_s = sum(copies) / len(copies)
        found["copy_per_s"] = round(copy_per_s)
        found["import_to_copy"] = round(found["import_changed_per_s"] / copy_per_s, 3)
        return found
    finally:
        await database.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--contacts", type=int, default=100_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="estafette-importing-") as folder:
        server = PostgresServer(Path(folder) / "postgresql", segments.OPTIONS)
        try:
            server.start()
            found = asyncio.run(measured(server.url, server.pid, Path(folder), given.contacts))
        finally:
            server.stop()
    print(json.dumps({"bench": "contacts_importing", **found}))


if __name__ == "__main__":
    main()
