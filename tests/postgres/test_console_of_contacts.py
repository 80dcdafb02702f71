"""What an operator sees and does of contacts at the console, over a real Redis and a real PostgreSQL."""

import asyncio
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from services.console import console as cli
from services.contacts.base.database import Database
from services.contacts.base.store import tenant as tenant_of
from services.contacts.imports.importing import Importing
from services.contacts.imports.store import Imports
from services.contacts.imports.writing import Writer
from services.contacts.segments import store
from shared.process import settings
from tests.servers import ANY_METRICS_PORT

Console = Callable[..., Result]
IN_PARIS = {"kind": "field", "field": "town", "test": "equals", "value": "PARIS"}
FILE = "Mél;Prénom;Ville;Opt-In Email\nana@exemple.fr;Ana;Paris;Oui\nbo@exemple.fr;Bo;Lyon;Non\npersonne;;;\n"


@pytest.fixture
def console(tmp_path: Path, redis_url: str, made_url: str) -> Console:
    """The console of an installation with the tenants acme and other."""
    environ: Mapping[str, str | None] = {
        **{name: None for name in os.environ if name.startswith(settings.PREFIX)},
        **ANY_METRICS_PORT,
        "ESTAFETTE_DATA_DIR": str(tmp_path),
        "ESTAFETTE_REDIS_URL": redis_url,
        "ESTAFETTE_CONTACTS_URL": made_url,
    }

    def typed(*words: str, code: int = 0) -> Result:
        result = CliRunner().invoke(cli.main, list(words), env=environ)
        assert result.exit_code == code, (words, result.output, result.exception)
        return result

    for name in ("acme", "other"):
        typed("tenants", "add", name)
    return typed


def shown(result: Result) -> Any:
    return json.loads(result.stdout)


def worked(url: str) -> None:
    """The service writes what was imported."""

    async def work() -> None:
        database = Database(url, 4, 30)
        imports = Imports(database)
        while (taken := await imports.take()) is not None:
            await Importing(imports, Writer(database)).run(taken)
        await database.close()

    asyncio.run(work())


def saved(url: str, name: str, criteria: Any) -> int:
    async def save() -> int:
        database = Database(url, 2, 30)
        async with database.transaction() as sql:
            number = (await tenant_of(sql, "acme")).number
            found = (await store.create(sql, number, name, criteria, "acme")).segment
        await database.close()
        return found

    return asyncio.run(save())


@pytest.fixture
def imported(console: Console, made_url: str, tmp_path: Path) -> int:
    """The number of an import that has ended."""
    file = tmp_path / "salon.csv"
    file.write_text(FILE)
    begun = shown(console("contact-imports", "start", "acme", str(file), "--json"))
    worked(made_url)
    number: int = begun["import"]
    return number


def test_a_file_is_imported_and_what_became_of_it_is_told(console: Console, imported: int) -> None:
    found = shown(console("contact-imports", "show", "acme", str(imported), "--json"))
    told = console("contact-imports", "show", "acme", str(imported)).stdout

    assert (found["state"], found["name"], found["results"]["added"]) == ("done", "salon.csv", 2)
    assert [one["line"] for one in found["report"]] == [4]
    assert f"import {imported} salon.csv: done, 3 lines" in told
    assert "2 added, 0 updated" in told
    assert "not an address" in told
    assert "salon.csv" in console("contact-imports", "list", "acme").stdout
    assert "has no contacts yet" in console("contact-imports", "list", "other", code=2).stderr


def test_an_import_is_tried_with_columns_that_are_said(
    console: Console, made_url: str, tmp_path: Path, imported: int
) -> None:
    file = tmp_path / "more.tsv"
    file.write_text("Adresse\tx\ncy@exemple.fr\tLille\n")

    words = ("--dry-run", "--new-only", "--column", "Adresse=email", "--column", "x=town", "--name", "again")
    said = console("contact-imports", "start", "acme", str(file), *words).stdout
    worked(made_url)
    found = shown(console("contact-imports", "show", "acme", str(imported + 1), "--json"))

    assert f"import {imported + 1} of acme has begun" in said
    assert (found["state"], found["dry_run"], found["mode"], found["name"]) == ("done", True, "new_only", "again")
    assert found["results"]["added"] == 1
    console("contacts", "show", "acme", "cy@exemple.fr", code=1)


def test_a_contact_is_found_shown_and_erased_and_no_other_tenant_has_it(console: Console, imported: int) -> None:
    found = shown(console("contacts", "search", "acme", "--letters", "ANA", "--json"))
    told = console("contacts", "show", "acme", "Ana@Exemple.fr").stdout

    assert [one["key"] for one in found] == ["ana@exemple.fr"]
    assert "bo@exemple.fr" in console("contacts", "search", "acme").stdout
    assert [
        one["key"] for one in shown(console("contacts", "search", "acme", "--email", "bo@exemple.fr", "--json"))
    ] == ["bo@exemple.fr"]
    assert "town        Paris" in told
    assert "activity    0" in told
    assert "by email    may be reached" in told
    assert "by phone    may not be reached: no_address" in told
    assert shown(console("contacts", "show", "acme", "ana@exemple.fr", "--json"))["fields"]["first_name"] == "Ana"
    console("contacts", "search", "acme", "--tag", "none", code=1)
    console("contacts", "search", "other", code=1)
    console("contacts", "show", "other", "ana@exemple.fr", code=1)
    console("contacts", "erase", "other", "ana@exemple.fr", "--yes", code=2)

    console("contacts", "erase", "acme", "ana@exemple.fr", "--yes")

    assert "there is no contact" in console("contacts", "show", "acme", "ana@exemple.fr", code=1).stdout


def clicked(url: str) -> None:
    """Whoever is the first contact, once."""

    async def note() -> None:
        database = Database(url, 2, 30)
        async with database.transaction() as sql:
            of = (await tenant_of(sql, "acme")).number
            await sql.execute(
                "INSERT INTO names (tenant, name, kind, text) VALUES ($1, 900, 'url', 'https://x.fr/\x1b[2J')", of
            )
            await sql.execute(
                "INSERT INTO behaviours (tenant, contact, occurred_at, event, kind, name, position) "
                "SELECT $1, contact, now(), 7, 6, 900, 0 FROM contacts WHERE tenant = $1 AND key = 'ana@exemple.fr'",
                of,
            )
        await database.close()

    asyncio.run(note())


def test_what_happened_to_a_contact_is_told(console: Console, made_url: str, imported: int) -> None:
    words = ("contacts", "timeline", "acme", "ana@exemple.fr")
    nothing = console(*words).stdout
    clicked(made_url)

    told = console(*words).stdout
    (moment,) = shown(console(*words, "--json"))

    assert nothing == ""
    assert "clicked" in told
    assert "\x1b" not in told
    assert (moment["what"], moment["machine"], moment["text"]) == ("clicked", False, "https://x.fr/\x1b[2J")
    assert "there is no contact" in console("contacts", "timeline", "other", "ana@exemple.fr", code=1).stdout


def test_a_segment_is_shown_counted_and_sampled(console: Console, made_url: str, imported: int) -> None:
    number = saved(made_url, "Paris", IN_PARIS)
    words = ("acme", str(number))

    assert "Paris" in console("segments", "list", "acme").stdout
    assert shown(console("segments", "show", *words, "--json"))["criteria"].items() >= IN_PARIS.items()
    assert f"segment {number}, version 1 since" in console("segments", "show", *words).stdout
    assert console("segments", "count", *words).stdout == "1 contacts: 1 by email, 0 by sms, 0 by phone\n"
    assert shown(console("segments", "count", *words, "--json"))["contacts"] == 1
    assert shown(console("segments", "sample", *words, "--json")) == [
        {"key": "ana@exemple.fr", "copy": 0, "email": "ana@exemple.fr"}
    ]
    assert "acme has no segment 99" in console("segments", "count", "acme", "99", code=2).stderr
    assert "acme has no segment 99" in console("segments", "show", "acme", "99", code=2).stderr


def test_a_segment_whose_field_is_gone_says_so(console: Console, made_url: str, imported: int) -> None:
    number = saved(made_url, "Paris", IN_PARIS)

    async def remove() -> None:
        database = Database(made_url, 2, 30)
        async with database.connection() as sql:
            await sql.execute("UPDATE fields SET removed_at = now() WHERE name = 'town'")
        await database.close()

    asyncio.run(remove())

    told = console("segments", "count", "acme", str(number), code=2).stderr
    assert "$.field: no such field" in told


def test_the_rank_is_run_and_shown(console: Console, imported: int) -> None:
    before = console("activity", "show", "acme").stdout
    told = console("activity", "run", "acme").stdout
    after = shown(console("activity", "show", "acme", "--json"))

    assert "there was no run yet, the next is due" in before
    assert "at least 1 of email opened and clicked" in before
    assert told == "0 contacts of acme are active; all others have note 0\n"
    assert after["last_run"] is not None
    assert after["notes"]["0"] == 2
    assert after["bands"]["not_addressable"] == 1


def test_a_postgresql_that_is_away_is_said_in_a_sentence(console: Console, redis_url: str, tmp_path: Path) -> None:
    environ = {
        "ESTAFETTE_DATA_DIR": str(tmp_path),
        "ESTAFETTE_REDIS_URL": redis_url,
        "ESTAFETTE_CONTACTS_URL": "postgresql://nobody:hunter2@127.0.0.1:1/none",
    }

    result = CliRunner().invoke(cli.main, ["contacts", "search", "acme"], env=environ)

    assert result.exit_code == 2
    assert "PostgreSQL does not answer" in result.stderr
    assert "hunter2" not in result.stderr


def test_all_that_is_kept_of_a_person_has_their_contacts(console: Console, imported: int, tmp_path: Path) -> None:
    secret = tmp_path / "secret.key"
    secret.write_text("0" * 64)
    secret.chmod(0o600)

    (contact,) = shown(console("people", "show", "acme", "ana@exemple.fr", "--json"))["contacts"]
    page = console("people", "show", "acme", "ana@exemple.fr").output

    assert contact["fields"] == {"first_name": "Ana", "town": "Paris"}
    assert [(one["id"], one["did"]) for one in contact["imports"]] == [(imported, "included"), (imported, "added")]
    assert (f"contact  {contact['id']} ana@exemple.fr" in page, "town: Paris" in page) == (True, True)
    console("people", "show", "other", "ana@exemple.fr", code=1)


def test_after_how_many_days_contacts_are_at_risk_is_shown_and_set(console: Console, imported: int) -> None:
    before = shown(console("at-risk", "show", "acme", "--json"))
    console("at-risk", "set", "acme", "90")
    refused = console("at-risk", "set", "acme", "3", code=2)

    assert before["days"] == 180
    assert before["last_look"] is None
    assert "for 90 days" in console("at-risk", "show", "acme").stdout
    assert "expected 7 to 3653, got 3" in refused.output


def test_of_which_contacts_events_tell_is_shown_and_set_one_by_one(console: Console, imported: int) -> None:
    before = shown(console("contact-events", "show", "acme", "--json"))
    console("contact-events", "set", "acme", "imports", "on")
    console("contact-events", "set", "acme", "at_risk", "off")

    assert before == {"requests": True, "imports": False, "at_risk": True}
    assert shown(console("contact-events", "show", "acme", "--json")) == {
        "requests": True,
        "imports": True,
        "at_risk": False,
    }
