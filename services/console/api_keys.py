"""`estafette keys`: API keys, made, listed by id and revoked."""

import click

from services.console.session import day, fail, with_redis
from shared.words.principal import SCOPES


@click.group()
def keys() -> None:
    """API keys."""


@keys.command("create")
@click.option("--tenant", required=True)
@click.option("--scope", required=True, help=f"Separated by commas, of {', '.join(SCOPES)}.")
def create_key(tenant: str, scope: str) -> None:
    """Make a key and print it, alone on standard output. It cannot be shown again."""
    from shared.redis.tenants import Tenants

    wanted = [part.strip() for part in scope.split(",") if part.strip()]
    key, text = with_redis(lambda client, _: Tenants(client).create_key(tenant, wanted))
    click.echo(f"id {key.id}, for {key.tenant}, {','.join(key.scopes)}; keep it, it is not shown again:", err=True)
    click.echo(text)


@keys.command("list")
@click.option("--tenant", default=None)
def list_keys(tenant: str | None) -> None:
    """Every key: its id, never its text."""
    from shared.redis.tenants import Tenants

    for key in with_redis(lambda client, _: Tenants(client).keys_of(tenant)):
        click.echo(f"{key.id}  {key.tenant:<32}  since {day(key.created_at)}  {','.join(key.scopes)}")


@keys.command("revoke")
@click.argument("key_id")
def revoke_key(key_id: str) -> None:
    """Revoke the key with that id. Every process refuses it within ten seconds."""
    from shared.redis.tenants import Tenants

    if not with_redis(lambda client, _: Tenants(client).revoke_key(key_id)):
        fail(f"there is no key {key_id}")
    click.echo(f"revoked {key_id}")
