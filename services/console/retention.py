"""`estafette retention`: who is erased because nothing came from them for years."""

from typing import Any

import click

from services.console.session import with_redis
from services.console.tables import as_json, show_json, show_table
from shared.process.settings import Settings


@click.group()
def retention() -> None:
    """Who is erased because nothing came from them for years."""


@retention.command("show")
@click.argument("tenant")
@click.option(
    "--days", default=30, show_default=True, type=click.IntRange(0), help="Who is erased within so many days."
)
@as_json
def show_retention(tenant: str, days: int, as_json: bool) -> None:
    """The rule of a tenant, and who will be erased by it; it sets that itself, PUT /v1/retention."""
    from services.suppression import settings as own
    from services.suppression.everybody import Everybody, Place
    from services.suppression.retaining import RetentionRules, shown
    from services.suppression.retention import day_of, near
    from shared.process.clock import now_ms
    from shared.redis.tenants import Tenants

    today = day_of(now_ms())

    async def look(client: Any, settings: Settings) -> Any:
        if await Tenants(client).get(tenant) is None:
            raise LookupError(f"there is no tenant {tenant}")
        rule = await RetentionRules(client, settings.of(own.Suppression).retention).of(tenant)
        everybody = Everybody(client, settings.redis.partitions)
        found: list[Any] = []
        place: Any = Place() if rule.years else None
        while place is not None:
            some, place = await everybody.page(tenant, place, 500)
            found += [
                shown(one, rule, today)
                for one in some
                if near(rule, one.last_day, one.warned_day, today).erase_day <= today + days
            ]
        return rule, found

    rule, found = with_redis(look)
    if as_json:
        show_json({"tenant": tenant, "rule": rule, "people": found})
    elif not rule.years:
        click.echo(f"nobody of {tenant} is erased for their age")
    else:
        dry_run = ", as a dry run" if rule.dry_run else ""
        click.echo(f"after {rule.years} years without an interaction, {rule.warn_days} days after a warning{dry_run}")
        if found:
            show_table(
                ("address", "last", "warned", "erased from"), [tuple(map(_shown, one.values())) for one in found]
            )


def _shown(day: str | None) -> str:
    return day or ""
