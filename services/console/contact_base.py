"""What the nouns of contacts begin and end with: the tenant is there, PostgreSQL answers, and a sentence if not."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from services.console.session import need_tenant, with_redis
from shared.process.settings import Settings

if TYPE_CHECKING:
    from services.contacts.base.database import Database
    from services.contacts.base.store import Tenant
    from shared.http.people import PersonContact

T = TypeVar("T")
#: One command asks one thing after the other.
_CONNECTIONS = 2


def with_base(tenant: str, work: "Callable[[Database], Awaitable[T]]") -> T:
    """Does `work` with the contacts of the settings, or those of the `estafette run` that runs, for a tenant that there
    is."""
    from services.contacts import settings as own
    from services.contacts.base.database import Database, DatabaseAway
    from shared.words.errors import Problem

    async def working(client: Any, settings: Settings) -> T:
        await need_tenant(client, tenant)
        url = _url(settings)
        if not url:
            raise LookupError("this installation has no contacts: set contacts.url")
        database = Database(url, _CONNECTIONS, settings.of(own.Contacts).statement_seconds)
        try:
            return await work(database)
        except DatabaseAway as away:
            raise LookupError(f"PostgreSQL does not answer: {away}") from None
        except Problem as problem:
            faults = "; ".join(f"{fault.at}: {fault.what}" for fault in problem.faults)
            raise LookupError(f"{problem.detail}: {faults}" if faults else problem.detail) from None
        finally:
            await database.close()

    return with_redis(working)


def _url(settings: Settings) -> str:
    """Of the settings, or of the `estafette run` that runs; "" where there are no contacts."""
    from services.contacts import settings as own

    running = settings.data.path / "contacts.url"
    return settings.of(own.Contacts).url or (running.read_text("ascii").strip() if running.exists() else "")


async def kept_of(settings: Settings, tenant: str, address: str) -> "list[PersonContact]":
    """The contacts with a normalised address; none where there are no contacts. LookupError: PostgreSQL is away."""
    from services.contacts import settings as own
    from services.contacts.base.database import Database, DatabaseAway
    from services.contacts.person import Person

    if not (url := _url(settings)):
        return []
    database = Database(url, _CONNECTIONS, settings.of(own.Contacts).statement_seconds)
    try:
        return await Person(database).kept(tenant, address)
    except DatabaseAway as away:
        raise LookupError(f"PostgreSQL does not answer: {away}") from None
    finally:
        await database.close()


async def of_tenant(database: "Database", tenant: str) -> "Tenant":
    """LookupError if nothing was ever written for it."""
    from services.contacts.base import store

    async with database.connection() as sql:
        found = await store.known_tenant(sql, tenant)
    if found is None:
        raise LookupError(f"{tenant} has no contacts yet")
    return found
