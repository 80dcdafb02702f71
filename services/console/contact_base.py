"""What the nouns of contacts begin and end with: the tenant is there, PostgreSQL answers, and a sentence if not."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from services.console.session import need_tenant, with_redis
from shared.process.settings import Settings

if TYPE_CHECKING:
    from services.contacts.base.database import Database
    from services.contacts.base.store import Tenant

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
        mine = settings.of(own.Contacts)
        running = settings.data.path / "contacts.url"
        url = mine.url or (running.read_text("ascii").strip() if running.exists() else "")
        if not url:
            raise LookupError("this installation has no contacts: set contacts.url")
        database = Database(url, _CONNECTIONS, mine.statement_seconds)
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


async def of_tenant(database: "Database", tenant: str) -> "Tenant":
    """LookupError if nothing was ever written for it."""
    from services.contacts.base import store

    async with database.connection() as sql:
        found = await store.known_tenant(sql, tenant)
    if found is None:
        raise LookupError(f"{tenant} has no contacts yet")
    return found
