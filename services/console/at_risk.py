"""`estafette at-risk`: after how many days without an opening or a click contacts are at risk."""

from typing import TYPE_CHECKING, Any

import click

from services.console.contact_base import of_tenant, with_base
from services.console.session import fail, minute
from services.console.tables import as_json, show_json

if TYPE_CHECKING:
    from services.contacts.base.database import Database


@click.group("at-risk")
def at_risk() -> None:
    """When a tenant's contacts are at risk: show, set."""


@at_risk.command("show")
@click.argument("tenant")
@as_json
def show(tenant: str, as_json: bool) -> None:
    """After how many days, what the last look found, and when the next one is due."""
    from services.contacts.risk.run import Risk

    async def look(database: "Database") -> Any:
        return await Risk(database).standing((await of_tenant(database, tenant)).number)

    standing = with_base(tenant, look)
    last = standing.last
    if as_json:
        found = None if last is None else {"at": minute(last.at_ms), "days": last.days, "contacts": last.contacts}
        show_json({"days": standing.asked.days, "last_look": found, "next_look": minute(standing.due_ms)})
        return
    click.echo(f"at risk is who opened and clicked nothing for {standing.asked.days} days, or whose address is invalid")
    told = "there was no look yet"
    if last is not None:
        told = f"last look {minute(last.at_ms)}, by {last.days} days: {last.contacts} contacts"
    click.echo(f"{told}; the next is due {minute(standing.due_ms)}")


@at_risk.command("set")
@click.argument("tenant")
@click.argument("days", type=int)
def set_days(tenant: str, days: int) -> None:
    """From the next look on."""
    from services.contacts.risk.asked import RiskRule
    from services.contacts.risk.run import Risk

    async def do(database: "Database") -> Any:
        return await Risk(database).set((await of_tenant(database, tenant)).number, RiskRule(days=days))

    for wrong in with_base(tenant, do):
        fail(wrong.what)
    click.echo(f"contacts of {tenant} are at risk after {days} days, from the next look on")
