"""`estafette people`: what is kept of somebody, and that it is erased."""

from typing import Any

import click

from services.console.session import address_key, minute, need_tenant, with_redis
from services.console.tables import as_json, show_json, show_table
from shared.process.settings import Settings


@click.group()
def people() -> None:
    """What is kept of an address, at one tenant."""


@people.command("show")
@click.argument("tenant")
@click.argument("address")
@as_json
def show_person(tenant: str, address: str, as_json: bool) -> None:
    """Everything that is kept of an address; exit code 1 if nothing is."""
    from services.suppression.mentions import At
    from shared.redis.suppression import EVERYBODY, SuppressionList

    key = address_key(address)

    async def look(client: Any, settings: Settings) -> Any:
        known = await _people(client, settings, tenant)
        lists = SuppressionList(client, settings.redis.partitions)
        own, of_all = [*await lists.listed(tenant, [key]), *await lists.listed(EVERYBODY, [key])]
        messages: list[Any] = []
        at: Any = At()
        while at is not None:
            some, at = await known.messages(tenant, key, at, 1000)
            messages += some
        entries = [*own.entries, *of_all.entries]
        return entries, await known.bounces(tenant, key), await known.erasure(tenant, key), messages

    entries, bounces, erasure, messages = with_redis(look)
    if as_json:
        show_json(
            {
                "address": key, "tenant": tenant, "entries": entries, "erasure": erasure,
                "soft_bounces": 0 if bounces is None else len(bounces.bounces),
                "messages": [message._asdict() for message in messages],
            }
        )  # fmt: skip
    else:
        _show(entries, bounces, erasure, messages)
    if not (entries or bounces or erasure or messages):
        raise SystemExit(1)


def _show(entries: Any, bounces: Any, erasure: Any, messages: Any) -> None:
    if erasure is not None:
        done = minute(erasure.done_ms) if erasure.done_ms else "not done yet"
        click.echo(f"erasure  asked {minute(erasure.asked_ms)}, {done}, {erasure.messages} messages")
    for entry in entries:
        click.echo(f"listed   {entry.channel} {entry.scope}: {entry.reason} since {minute(entry.first_ms)}")
    if bounces is not None:
        first, last = (minute(bounces.bounces[at].at_s * 1000) for at in (0, -1))
        click.echo(f"bounces  {len(bounces.bounces)} soft ones in a row, {first} to {last}")
    if messages:
        show_table(("message", "list", "subject"), [(f"{m.job}.{m.ordinal}", m.list, m.subject[:60]) for m in messages])
    if not (entries or bounces or erasure or messages):
        click.echo("nothing is kept of that address")


@people.command("erase")
@click.argument("tenant")
@click.argument("address")
@click.confirmation_option(prompt="Nothing of it can be had back. Erase?")
def erase_person(tenant: str, address: str) -> None:
    """Erase an address: a keyed hash is left, by which nothing is sent to it. What jobs say of it goes in the
    background; `show` tells how far that is."""
    key = address_key(address)

    async def erase(client: Any, settings: Settings) -> Any:
        return await (await _people(client, settings, tenant)).erase(tenant, key)

    removed = with_redis(erase)
    click.echo(f"erasing: {removed.suppressions} entries and {removed.soft_bounces} soft bounces are gone; jobs follow")


async def _people(client: Any, settings: Settings, tenant: str) -> Any:
    """LookupError if there is no such tenant."""
    import time

    from services.suppression.erasing import Erasing
    from services.suppression.people import People
    from shared.process import master_secret
    from shared.process.clock import now_ms
    from shared.redis import start
    from shared.words.erased import ErasureKeys

    await need_tenant(client, tenant)
    secret = master_secret.load(settings, make=False)
    partitions = settings.redis.partitions
    erasing = Erasing(client, partitions, start.publisher(client, settings), now_ms)
    return People(client, partitions, ErasureKeys(secret.current, secret.previous), erasing, time.monotonic)
