"""`estafette suppressions`: who must not be mailed, of which tenant, and why."""

from typing import Any

import click

from services.console import moving
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
    from shared.redis.suppression import EVERYBODY, SuppressionList
    from shared.redis.tenants import Tenants

    try:
        key = addresses.parse(address).key
    except addresses.InvalidAddress as fault:
        fail(f"not an address: {fault}")

    async def look(client: Any, settings: Settings) -> Any:
        if await Tenants(client).get(tenant) is None:
            raise LookupError(f"there is no tenant {tenant}")
        lists = SuppressionList(client, settings.redis.partitions)
        return [*await lists.listed(tenant, [key]), *await lists.listed(EVERYBODY, [key])]

    own, of_all = with_redis(look)
    found = [(whose, listed, entry) for whose, listed in ((tenant, own), ("(all)", of_all)) for entry in listed.entries]
    if as_json:
        show_json({"address": key, "tenant": tenant, "entries": [_entry(*one) for one in found]})
    elif found:
        show_table(
            ("list", "channel", "scope", "reason", "since", "until", "source", "diagnostic"),
            [
                (
                    whose, entry.channel, entry.scope, entry.reason, minute(entry.first_ms),
                    minute(entry.expires_ms) if entry.expires_ms else "", entry.source,
                    listed.said_of(entry).diagnostic[:80],
                )
                for whose, listed, entry in found
            ],
        )  # fmt: skip
    else:
        click.echo(f"{key} is not on the list of {tenant}")
    if not found:
        raise SystemExit(1)


def _entry(whose: str, listed: Any, entry: Any) -> dict[str, Any]:
    said = listed.said_of(entry)
    return {
        "list": whose, "channel": entry.channel, "scope": entry.scope, "reason": entry.reason, "source": entry.source,
        "since_ms": entry.first_ms, "last_ms": entry.last_ms, "expires_ms": entry.expires_ms, "event": said.event,
        "job": said.job, "ordinal": said.ordinal, "diagnostic": said.diagnostic,
    }  # fmt: skip


@suppressions.command("list")
@click.argument("tenant")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@as_json
def list_suppressions(tenant: str, limit: int, as_json: bool) -> None:
    """The first addresses of a tenant's list; all of it comes over HTTP, page by page."""
    from services.suppression.store import Lists
    from shared.redis.addressed import Place
    from shared.redis.tenants import Tenants

    async def look(client: Any, settings: Settings) -> Any:
        if await Tenants(client).get(tenant) is None:
            raise LookupError(f"there is no tenant {tenant}")
        return await Lists(client, settings.redis.partitions).page(tenant, Place(), limit)

    listed, following = with_redis(look)
    if as_json:
        show_json([{"address": one.address, **_entry(tenant, one, entry)} for one in listed for entry in one.entries])
        return
    show_table(
        ("address", "channel", "scope", "reason", "since", "source"),
        [
            (one.address, entry.channel, entry.scope, entry.reason, minute(entry.first_ms), entry.source)
            for one in listed
            for entry in one.entries
        ],
    )
    if following is not None:
        click.echo("there are more: GET /v1/suppressions", err=True)


suppressions.add_command(moving.import_suppressions)
suppressions.add_command(moving.export_suppressions)
