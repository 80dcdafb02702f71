"""`estafette suppressions`: who must not be mailed, of which tenant, and why."""

from typing import Any

import click

from services.console.session import fail, minute, with_redis
from services.console.tables import as_json, show_json, show_table
from shared.process.settings import Settings


@click.group()
def suppressions() -> None:
    """Addresses that a tenant does not write to any more."""


@suppressions.command("show")
@click.argument("tenant")
@click.argument("address")
@as_json
def show_suppression(tenant: str, address: str, as_json: bool) -> None:
    """Whether an address is on a tenant's list, and why; exit code 1 if it is not."""
    from shared.mail import addresses
    from shared.redis.suppression import SuppressionList
    from shared.redis.tenants import Tenants

    try:
        key = addresses.parse(address).key
    except addresses.InvalidAddress as fault:
        fail(f"not an address: {fault}")

    async def look(client: Any, settings: Settings) -> Any:
        if await Tenants(client).get(tenant) is None:
            raise LookupError(f"there is no tenant {tenant}")
        return await SuppressionList(client, settings.redis.partitions).record(tenant, key)

    found = with_redis(look)
    if as_json:
        show_json({"address": key, "tenant": tenant, "record": found})
    elif found is None:
        click.echo(f"{key} is not on the list of {tenant}")
    else:
        show_table(
            ("address", "reason", "since", "source", "diagnostic"),
            [(key, found.reason, minute(found.since_ms), found.source, found.diagnostic[:80])],
        )
    if found is None:
        raise SystemExit(1)


@suppressions.command("list")
@click.argument("tenant")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@as_json
def list_suppressions(tenant: str, limit: int, as_json: bool) -> None:
    """The first addresses of a tenant's list; all of it comes over HTTP, page by page."""
    from services.suppression.store import Lists, Place
    from shared.redis.tenants import Tenants

    async def look(client: Any, settings: Settings) -> Any:
        if await Tenants(client).get(tenant) is None:
            raise LookupError(f"there is no tenant {tenant}")
        return await Lists(client, settings.redis.partitions).page(tenant, Place(), limit)

    listed, following = with_redis(look)
    if as_json:
        show_json(listed)
        return
    show_table(
        ("address", "reason", "since", "source"),
        [(one.address, one.record.reason, minute(one.record.since_ms), one.record.source) for one in listed],
    )
    if following is not None:
        click.echo("there are more: GET /v1/suppressions", err=True)
