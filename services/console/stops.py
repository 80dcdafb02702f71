"""`estafette stops`: what is not sent for now, and an operator's consent."""

import time
from typing import Any

import click

from services.console.session import minute, with_redis
from shared.process.settings import Settings


@click.group()
def stops() -> None:
    """Jobs and tenants that a breaker stopped, or that were paused."""


@stops.command("list")
def list_stops() -> None:
    """Everything that is stopped, by the name that `consent` takes."""
    from shared.redis.stops import StopList

    for name, stop in sorted(with_redis(lambda client, _: StopList(client).all()).items()):
        figures = f"  {stop.bad} of {stop.of}" if stop.of else ""
        consent = f"  consented {minute(stop.consent_ms)}" if stop.consent_ms else ""
        click.echo(f"{name:<39}  {stop.tenant}  since {minute(stop.since_ms)}  {stop.reason}{figures}{consent}")


@stops.command("consent")
@click.argument("name")
def consent_to_resume(name: str) -> None:
    """Consent that its tenant resumes what a breaker stopped: job:<id> or tenant:<name>."""
    from shared.redis.stops import StopList

    async def consent(client: Any, _: Settings) -> Any:
        stop_list = StopList(client)
        (stop,) = await stop_list.some([name])
        if stop is None:
            raise LookupError(f"nothing of the name {name} is stopped")
        if not stop.needs_consent:
            raise ValueError(f"{name} is {stop.reason}: its tenant resumes it alone")
        if not await stop_list.consent(name, stop, time.time_ns() // 1_000_000):
            raise LookupError(f"{name} has been resumed in the meantime")
        return stop

    stop = with_redis(consent)
    click.echo(f"{stop.tenant} may resume {name} now: {stop.reason}, {stop.bad} of {stop.of}")
