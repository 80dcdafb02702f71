"""`estafette activity`: how active the contacts of a tenant are, what counts, and a run now."""

from typing import TYPE_CHECKING, Any

import click

from services.console.contact_base import of_tenant, with_base
from services.console.session import minute
from services.console.tables import as_json, show_json, show_table

if TYPE_CHECKING:
    from services.contacts.base.database import Database


@click.group()
def activity() -> None:
    """The activity rank of a tenant's contacts: show, run."""


@activity.command("show")
@click.argument("tenant")
@as_json
def show(tenant: str, as_json: bool) -> None:
    """How many contacts have each note, what counts, the last run, and when the next one is due."""
    from services.contacts.rank.run import Rank

    async def look(database: "Database") -> Any:
        rank, of = Rank(database), await of_tenant(database, tenant)
        return await rank.standing(of.number), await rank.histogram(of.number)

    standing, histogram = with_base(tenant, look)
    if as_json:
        show_json(
            {
                "settings": standing.asked,
                "last_run": None if standing.last is None else minute(standing.last.at_ms),
                "next_run": minute(standing.due_ms),
                "notes": histogram.notes,
                "bands": histogram.bands,
            }
        )
        return
    show_table(("note", "contacts"), sorted(histogram.notes.items(), reverse=True))
    show_table(("band", "contacts"), [(band.replace("_", " "), count) for band, count in histogram.bands.items()])
    last = "there was no run yet" if standing.last is None else f"last run {minute(standing.last.at_ms)}"
    click.echo(f"{last}, the next is due {minute(standing.due_ms)}")
    click.echo(f"counts from the next run on: {_said(standing.asked)}")


@activity.command("run")
@click.argument("tenant")
def run(tenant: str) -> None:
    """Give every contact its note anew, now."""
    from services.contacts.rank.run import Rank
    from shared.process.clock import now_ms

    async def do(database: "Database") -> Any:
        return await Rank(database).run((await of_tenant(database, tenant)).number, now_ms())

    found = with_base(tenant, do)
    click.echo(f"{sum(found.contacts)} contacts of {tenant} are active; all others have note 0")


def _said(asked: Any) -> str:
    counts = ", ".join(f"{kind} {' and '.join(found)}" for kind, found in asked.counts.items() if found)
    return f"at least {asked.least} of {counts} in the last {asked.period.count} {asked.period.unit}"
