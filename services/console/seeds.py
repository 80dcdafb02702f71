"""`estafette seeds`: who gets a copy of each job of `bulk` of a tenant."""

import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from services.console.session import fail, need_tenant, with_redis
from services.console.tables import as_json, show_json
from shared.process.settings import Settings

if TYPE_CHECKING:
    from services.queueing.seeds import SeedLists

T = TypeVar("T")


@click.group()
def seeds() -> None:
    """Who gets a copy of each job of bulk."""


@seeds.command("list")
@click.argument("tenant")
@as_json
def list_seeds(tenant: str, as_json: bool) -> None:
    """The addresses of a tenant's seed list, a line each."""
    _show(tenant, _with_lists(tenant, lambda lists: lists.of(tenant)), as_json=as_json)


@seeds.command("set")
@click.argument("tenant")
@click.argument("addresses", nargs=-1)
@as_json
def set_seeds(tenant: str, addresses: tuple[str, ...], as_json: bool) -> None:
    """Up to 100 addresses, all at once; in force within a second."""
    if not addresses:
        fail("name an address; nobody gets a copy any more after: estafette seeds off TENANT")
    wanted = _checked(addresses)
    _with_lists(tenant, lambda lists: lists.put(tenant, wanted))
    _show(tenant, wanted, as_json=as_json)


@seeds.command("off")
@click.argument("tenant")
def end_seeds(tenant: str) -> None:
    """Nobody gets a copy any more."""
    _with_lists(tenant, lambda lists: lists.put(tenant, ()))
    click.echo(f"nobody gets copies of the jobs of {tenant}")


def _checked(addresses: tuple[str, ...]) -> tuple[str, ...]:
    """With what the route refuses."""
    import msgspec

    from services.queueing.seeds_http import SeedListBody, read

    try:
        body = msgspec.convert({"addresses": list(addresses)}, SeedListBody)
    except msgspec.ValidationError as fault:
        fail(str(fault))
    wanted, faults = read(body.addresses)
    if faults:
        fail("; ".join(f"{_named(fault.at, addresses)}: {fault.what}" for fault in faults))
    return tuple(wanted)


def _named(at: str, addresses: tuple[str, ...]) -> str:
    """The address that a fault is at."""
    return addresses[int(at.partition("[")[2].rstrip("]"))]


def _show(tenant: str, addresses: tuple[str, ...], *, as_json: bool) -> None:
    if as_json:
        show_json({"tenant": tenant, "addresses": list(addresses)})
        return
    for address in addresses:
        click.echo(address)
    if not addresses:
        click.echo(f"nobody gets copies of the jobs of {tenant}")


def _with_lists(tenant: str, work: "Callable[[SeedLists], Awaitable[T]]") -> T:
    from services.queueing.seeds import SeedLists

    async def working(client: Any, _: Settings) -> T:
        await need_tenant(client, tenant)
        return await work(SeedLists(client, time.monotonic))

    return with_redis(working)
