"""`estafette archive`: how far the archive is, and a tenant's files removed."""

from typing import Any

import click

from services.console.session import with_redis
from services.console.tables import as_json, show_json, show_table
from shared.process.settings import Settings


@click.group()
def archive() -> None:
    """How far the archive is, and a tenant's files removed."""


@archive.command("show")
@as_json
def show_archive(as_json: bool) -> None:
    """How far it is in each partition, which process writes, and what is to be erased and removed."""
    from services.archive.store import ArchiveStore
    from shared.process.clock import now_ms
    from shared.redis import archived, keys

    async def look(client: Any, settings: Settings) -> Any:
        partitions = range(settings.redis.partitions)
        owner = await client.get(keys.archive_lease())
        store = ArchiveStore(client, settings.redis.partitions, "")
        oldest = [await archived.oldest_outside_ms(client, p) for p in partitions]
        return {
            "writes": None if owner is None else owner.decode(),
            "partitions": [
                {
                    "partition": p,
                    "position": await archived.position(client, p),
                    "lag_seconds": 0 if at is None else max(0, now_ms() - at) // 1000,
                }
                for p, at in zip(partitions, oldest, strict=True)
            ],
            "erasures": len(await store.erasures()),
            "removals": await store.removals(),
        }

    found = with_redis(look)
    if as_json:
        show_json(found)
        return
    show_table(("partition", "position", "lag s"), [tuple(map(str, one.values())) for one in found["partitions"]])
    click.echo(f"writes: {found['writes'] or 'nobody'}")
    click.echo(f"to be erased: {found['erasures']}, to be removed: {', '.join(found['removals']) or 'nobody'}")


@archive.command("remove")
@click.argument("tenant")
@click.confirmation_option(prompt="Every event of the tenant leaves the archive, and does not come back. Go on?")
def remove_tenant(tenant: str) -> None:
    """Have the archive remove all files of a tenant. It does within a minute or so."""
    from shared.process.clock import now_ms
    from shared.redis import keys
    from shared.redis.tenants import is_name

    async def ask(client: Any, _: Settings) -> None:
        if not is_name(tenant):
            raise ValueError(f"{tenant!r:.60} is no name of a tenant")
        await client.hset(keys.archive_removals(), tenant, now_ms())

    with_redis(ask)
    click.echo(f"the files of {tenant} are removed by the process that writes the archive")
