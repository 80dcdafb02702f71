"""`estafette webhooks`: endpoints of tenants, how they fare, and what was sent to them."""

import secrets
import time
from typing import Any

import click

from services.console.session import minute, with_redis
from shared.process.settings import Settings


@click.group()
def webhooks() -> None:
    """Endpoints that are told what happens to mail."""


def _store(client: Any, settings: Settings) -> Any:
    from services.webhooks.settings import Webhooks
    from services.webhooks.store import Store

    mine = settings.of(Webhooks)
    return Store(client, settings.redis.partitions, queue_events=mine.queue_events, log_ms=mine.log_days * 86_400_000)


async def _all(store: Any, tenant: str | None) -> list[Any]:
    tenants = [tenant] if tenant else sorted(await store.versions())
    return [one for name in tenants for one in await store.of_tenant(name)]


async def _found(store: Any, endpoint: str) -> Any:
    for one in await _all(store, None):
        if one.id == endpoint:
            return one
    raise LookupError(f"there is no endpoint {endpoint}")


@webhooks.command("list")
@click.option("--tenant", default=None, help="Whose; everybody's if left out.")
def list_webhooks(tenant: str | None) -> None:
    """Every endpoint: its tenant, how it fares, what waits, what was taken, given up, dropped and missed."""

    async def listed(client: Any, settings: Settings) -> list[Any]:
        store = _store(client, settings)
        return [(one, await store.standing(one.id)) for one in await _all(store, tenant)]

    for one, standing in with_redis(listed):
        state = standing.state
        fares = "not enabled" if not one.enabled else f"disabled: {state.why}" if state.disabled_at else "enabled"
        since = f", failing since {minute(state.failing_since)}" if state.failing_since else ""
        click.echo(
            f"{one.id}  {one.tenant}  {one.url}  {fares}{since}  waiting {standing.waiting}, taken {state.delivered}, "
            f"given up {state.given_up}, dropped {standing.dropped}, missed {standing.missed}"
        )


@webhooks.command("log")
@click.argument("endpoint")
@click.option("--limit", default=20, type=click.IntRange(1, 500), help="How many attempts.")
def show_log(endpoint: str, limit: int) -> None:
    """The last attempts at an endpoint, the latest first."""

    async def read(client: Any, settings: Settings) -> list[Any]:
        store = _store(client, settings)
        await _found(store, endpoint)
        return list(await store.attempts(endpoint, limit))

    for one in with_redis(read):
        said = one.answer.decode("utf-8", "replace")[:80] or one.detail
        goes_on = f"  again {minute(one.next_ms)}" if one.next_ms else ""
        outcome = one.error or "taken"
        click.echo(
            f"{minute(one.at_ms)}  {one.key}  attempt {one.attempt}  {one.events} events  {outcome} {one.status or '-'}"
            f"  {one.duration_ms} ms{goes_on}  {said!r}"
        )


@webhooks.command("enable")
@click.argument("endpoint")
def enable(endpoint: str) -> None:
    """Let an endpoint be asked again that was disabled, or rests: what waits for it is sent at once."""
    import msgspec

    async def do(client: Any, settings: Settings) -> Any:
        store = _store(client, settings)
        found = msgspec.structs.replace(await _found(store, endpoint), enabled=True)
        await store.put(found, secrets.token_hex(8))
        await store.enable(endpoint, time.time_ns() // 1_000_000)
        return found

    click.echo(f"enabled: {with_redis(do).url}")
