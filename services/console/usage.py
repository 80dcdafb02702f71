"""`estafette usage`: what tenants used, as the API tells it."""

from typing import Any

import click

from services.console.session import fail, need_tenant, with_redis
from services.console.tables import as_json, show_json, show_table
from shared.process.settings import Settings


@click.command()
@click.argument("tenant", required=False)
@click.option("--since", default="", help="The first day (UTC), as 2026-01-01; else a month ago.")
@click.option("--until", default="", help="The last day (UTC); else today.")
@click.option("--csv", "as_csv", is_flag=True, help="As a file: tenant, day, accepted, delivered, calls, stored_bytes.")
@as_json
def usage(tenant: str | None, since: str, until: str, as_csv: bool, as_json: bool) -> None:
    """Mails, API calls and stored bytes of a tenant day by day, or of each tenant."""
    from services.reports.usage import COLUMNS, UsageOfTenant, UsageReader, read_day, rows
    from shared.process.clock import now_ms
    from shared.redis.tenants import Tenants
    from shared.words.errors import Problem

    async def look(client: Any, settings: Settings) -> list[UsageOfTenant]:
        if tenant is not None:
            await need_tenant(client, tenant)
        names = [tenant] if tenant is not None else [one.name for one in await Tenants(client).all()]
        reader = UsageReader(client, settings.redis.partitions, now_ms)
        try:
            first, last = reader.span(*(read_day(text) if text else None for text in (since, until)))
        except Problem as problem:
            fail("; ".join(f"{fault.at.strip('?$.')}: {fault.what}" for fault in problem.faults))
        return await reader.of_each(names, first, last, by_day=tenant is not None)

    found = with_redis(look)
    if as_json:
        show_json(found)
    elif as_csv:
        click.echo(",".join(COLUMNS) + "\r\n" + rows(found, by_day=tenant is not None), nl=False)
    else:
        shown = (
            [(day.day, day) for day in found[0].days] if tenant is not None else [(o.tenant, o.total) for o in found]
        )
        show_table(
            ("day" if tenant is not None else "tenant", *COLUMNS[2:]),
            [(name, used.accepted, used.delivered, used.calls, used.stored_bytes) for name, used in shown],
        )
