"""`estafette drops`: what of tenants goes out as files, how far it is, and a file now."""

import secrets
from typing import Any

import click

from services.console.session import minute, with_redis
from shared.process.settings import Settings


@click.group()
def drops() -> None:
    """Events and suppressions of tenants as files."""


async def _all(store: Any, tenant: str | None) -> list[Any]:
    tenants = [tenant] if tenant else sorted(await store.versions())
    return [one for name in tenants for one in await store.of_tenant(name)]


@drops.command("list")
@click.option("--tenant", default=None, help="Whose; everybody's if left out.")
def list_drops(tenant: str | None) -> None:
    """Every drop: where it goes, when its next file is due, what was written last, and what goes wrong."""
    from services.reports.drops.drop import due_ms
    from services.reports.drops.store import Store

    async def listed(client: Any, _settings: Settings) -> list[Any]:
        store = Store(client)
        return [(one, await store.state(one)) for one in await _all(store, tenant)]

    for one, state in with_redis(listed):
        fares = "not enabled" if not one.enabled else f"failing: {state.why}" if state.failures else "enabled"
        since = f" since {minute(state.failing_since)} ({state.detail})" if state.failures else ""
        last = f"{state.last_file} ({state.last_rows} rows)" if state.last_file else "nothing yet"
        click.echo(
            f"{one.id}  {one.kind}  {one.schedule}  {one.target}  {fares}{since}  next due {minute(due_ms(one, state))}"
            f", last {last}, files {state.written}, missed {state.missed}"
        )


@drops.command("run")
@click.argument("drop")
def run(drop: str) -> None:
    """Try what is due of a drop (tenant/name) now, whatever it waits for."""
    from services.reports.drops.store import Store

    async def do(client: Any, _settings: Settings) -> Any:
        store = Store(client)
        tenant, _, name = drop.partition("/")
        found = await store.get(tenant, name)
        if found is None or not await store.ask(found, secrets.token_hex(8), -1):
            raise LookupError(f"there is no drop {drop}")
        return found

    click.echo(f"asked for: {with_redis(do).target}")
