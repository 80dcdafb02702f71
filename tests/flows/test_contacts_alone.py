"""An instance with a PostgreSQL of its own: started, killed, started again on what it had."""

from pathlib import Path

from services.contacts.base.database import Database, DatabaseAway
from tests.flows.stack import Stack

OWN = {"ESTAFETTE_CONTACTS_PRIVATE": "true"}


async def has_tables(directory: Path) -> bool:
    """Asked through the URL that an instance writes down."""
    database = Database((directory / "contacts.url").read_text().strip(), 1, 30)
    try:
        async with database.connection() as sql:
            return bool(await sql.fetchval("SELECT count(*) FROM migrations"))
    except DatabaseAway:
        return False
    finally:
        await database.close()


async def test_an_instance_has_a_postgresql_of_its_own_which_is_started_again_when_it_dies(tmp_path: Path) -> None:
    directory = tmp_path / "run"
    async with Stack.running(directory, OWN) as stack:
        assert await has_tables(directory)

        await stack.killed_and_back("postgresql")

        await stack.until(lambda: has_tables(directory))
    assert not (directory / "contacts.url").exists()

    async with Stack.running(directory, OWN):
        assert await has_tables(directory)


async def test_a_contact_is_written_and_what_is_agreed_to_elsewhere_reaches_it(tmp_path: Path) -> None:
    async with Stack.running(tmp_path / "run", OWN) as stack:
        status, made = await stack.call("PUT", "/v1/contacts/ana@exemple.fr", {"fields": {"town": "Lyon"}})
        assert (status, made["channels"]["email"]["why_not"]) == (201, "no_optin")

        await stack.answered("PUT", "/v1/consents/ana@exemple.fr", {"optin": {"email": "yes"}})

        async def opted_in() -> bool:
            _, found = await stack.call("GET", "/v1/contacts/ana@exemple.fr")
            return bool(found["channels"]["email"]["addressable"])

        await stack.until(opted_in)
        await stack.killed_and_back("contacts")
        assert (await stack.call("DELETE", "/v1/contacts/ana@exemple.fr"))[0] == 204
        assert (await stack.call("GET", "/v1/contacts/ana@exemple.fr"))[0] == 404
