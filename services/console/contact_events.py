"""`estafette contact-events`: of which contacts a tenant is told, one by one."""

from typing import TYPE_CHECKING, Any

import click

from services.console.contact_base import of_tenant, with_base
from services.console.tables import as_json, show_json, show_table

if TYPE_CHECKING:
    from services.contacts.base.database import Database

#: As `services.contacts.outbox.wanted` has them: the command line starts without that.
WAYS = ("requests", "imports", "at_risk")


@click.group("contact-events")
def contact_events() -> None:
    """Of which contacts events tell: show, set."""


@contact_events.command("show")
@click.argument("tenant")
@as_json
def show(tenant: str, as_json: bool) -> None:
    """Whether requests and imports are told contact by contact, and who comes to be at risk."""
    import msgspec

    from services.contacts.outbox.noting import Wishes

    async def look(database: "Database") -> Any:
        return await Wishes(database).of((await of_tenant(database, tenant)).number)

    found = msgspec.to_builtins(with_base(tenant, look))
    if as_json:
        show_json(found)
        return
    show_table(("contacts by", "told"), [(way.replace("_", " "), "yes" if found[way] else "no") for way in WAYS])


@contact_events.command("set")
@click.argument("tenant")
@click.argument("way", type=click.Choice(WAYS))
@click.argument("told", type=click.Choice(("on", "off")))
def set_told(tenant: str, way: str, told: str) -> None:
    """From now on; the others stay as they are."""
    import msgspec

    from services.contacts.outbox.noting import Wishes

    async def do(database: "Database") -> None:
        wishes, of = Wishes(database), await of_tenant(database, tenant)
        await wishes.set(of.number, msgspec.structs.replace(await wishes.of(of.number), **{way: told == "on"}))

    with_base(tenant, do)
    click.echo(f"{tenant}: {way.replace('_', ' ')} are {'told' if told == 'on' else 'not told'} contact by contact")
