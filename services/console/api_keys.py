"""`estafette keys`: API keys, made, listed by id and revoked."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from services.console.session import day, fail, minute, with_redis
from services.console.tables import plain
from shared.words.principal import SCOPES

if TYPE_CHECKING:
    from shared.redis.tenants import ApiKey


@click.group()
def keys() -> None:
    """API keys."""


@keys.command("create")
@click.option("--tenant", required=True)
@click.option("--scope", required=True, help=f"Separated by commas, of {', '.join(SCOPES)}.")
@click.option("--name", default="", help="The user or the program that has it.")
@click.option("--network", "networks", multiple=True, help="From where it may be used (CIDR); any number of them.")
@click.option("--domain", "domains", multiple=True, help="A domain that it may send from; any number of them.")
@click.option("--expires", type=click.DateTime(), default=None, help="Until when it may be used (UTC).")
@click.option("--sandbox", is_flag=True, help="What it sends goes to no host of the world, and counts nothing.")
def create_key(
    tenant: str,
    scope: str,
    name: str,
    networks: tuple[str, ...],
    domains: tuple[str, ...],
    expires: datetime | None,
    sandbox: bool,
) -> None:
    """Make a key and print it, alone on standard output. It cannot be shown again."""
    from shared.redis.tenants import Rights, Tenants

    wanted = [part.strip() for part in scope.split(",") if part.strip()]
    until_ms = 0 if expires is None else max(1, int(expires.replace(tzinfo=UTC).timestamp() * 1000))
    rights = Rights(name, networks, domains, until_ms, sandbox)
    key, text = with_redis(lambda client, _: Tenants(client).create_key(tenant, wanted, rights))
    click.echo(f"id {key.id}, for {key.tenant}, {_shown(key)}; keep it, it is not shown again:", err=True)
    click.echo(text)


@keys.command("list")
@click.option("--tenant", default=None)
def list_keys(tenant: str | None) -> None:
    """Every key: its id, never its text."""
    from shared.redis.tenants import Tenants

    for key in with_redis(lambda client, _: Tenants(client).keys_of(tenant)):
        click.echo(f"{key.id}  {key.tenant:<32}  since {day(key.created_at)}  {_shown(key)}")


def _shown(key: "ApiKey") -> str:
    """What it may do, and what bounds that."""
    rights = key.rights
    parts = [
        ",".join(key.scopes),
        "sandbox" if rights.is_sandbox else "",
        plain(rights.name),
        f"from {','.join(rights.networks)}" if rights.networks else "",
        f"as {','.join(rights.domains)}" if rights.domains else "",
        f"until {minute(rights.expires_at)}" if rights.expires_at else "",
    ]
    return "  ".join(part for part in parts if part)


@keys.command("revoke")
@click.argument("key_id")
def revoke_key(key_id: str) -> None:
    """Revoke the key with that id. Every process refuses it within ten seconds."""
    from shared.redis.tenants import Tenants

    if not with_redis(lambda client, _: Tenants(client).revoke_key(key_id)):
        fail(f"there is no key {key_id}")
    click.echo(f"revoked {key_id}")
