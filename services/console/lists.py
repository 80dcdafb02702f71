"""`estafette lists`: the lists of a tenant, who is on them, and who left."""

import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from services.console.session import address_key, fail, minute, with_redis
from services.console.tables import as_json, show_json, show_table
from shared.process.settings import Settings

if TYPE_CHECKING:
    from services.suppression.memberships import Joined, Memberships

T = TypeVar("T")


@click.group()
def lists() -> None:
    """Lists of recipients: who is on which, and who left it."""


@lists.command("list")
@click.argument("tenant")
@as_json
def list_lists(tenant: str, as_json: bool) -> None:
    """Every list that somebody is on or has left, and how many."""

    async def look(memberships: "Memberships", _most: int) -> list[tuple[str, int, int]]:
        names = await memberships.members.names(tenant)
        counts = await memberships.members.counts(tenant, names)
        return [(name, *one) for name, one in zip(names, counts, strict=True)]

    found = _with_lists(tenant, look)
    heads = ("name", "members", "left")
    if as_json:
        show_json([dict(zip(heads, one, strict=True)) for one in found])
    else:
        show_table(heads, found)


@lists.command("show")
@click.argument("tenant")
@click.argument("address")
@as_json
def show_address(tenant: str, address: str, as_json: bool) -> None:
    """Every list that an address is on or has left, and what stops it there; exit code 1 if there is none."""
    key = address_key(address)

    async def look(memberships: "Memberships", _most: int) -> list[tuple[str, str, int, str | None]]:
        shown: list[tuple[str, str, int, str | None]] = []
        for name, member in await memberships.members.lists_of(tenant, key):
            (stopped,) = await memberships.stopped(tenant, name, [key])
            shown.append((name, member.state, member.since_ms, stopped))
        return shown

    found = _with_lists(tenant, look)
    if as_json:
        show_json([dict(zip(("list", "state", "since_ms", "stopped"), one, strict=True)) for one in found])
    elif found:
        show_table(
            ("list", "state", "since", "stopped by"),
            [(name, state, minute(since_ms), stopped) for name, state, since_ms, stopped in found],
        )
    else:
        click.echo(f"{key} is on no list of {tenant} and has left none")
    if not found:
        raise SystemExit(1)


@lists.command("members")
@click.argument("tenant")
@click.argument("name")
@click.option("--left", is_flag=True, help="Who left it, not who is on it.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@as_json
def list_members(tenant: str, name: str, left: bool, limit: int, as_json: bool) -> None:
    """The first of a list; all of it comes over HTTP, page by page."""
    from shared.redis.addressed import Place

    found, following = _with_lists(
        tenant,
        lambda memberships, _: memberships.members.page(tenant, name, "left" if left else "joined", Place(), limit),
    )
    if as_json:
        show_json([one._asdict() for one in found])
        return
    show_table(("address", "state", "since"), [(one.address, one.state, minute(one.since_ms)) for one in found])
    if following is not None:
        click.echo("there are more: GET /v1/lists/{list}/members", err=True)


@lists.command("join")
@click.argument("tenant")
@click.argument("name")
@click.argument("addresses", nargs=-1, required=True)
@as_json
def join(tenant: str, name: str, addresses: Sequence[str], as_json: bool) -> None:
    """Put addresses on a list: that they left it is taken away, and nothing else that stops them. Exit code 1 if
    something does."""
    listed, keys = _name(name), [address_key(one) for one in addresses]
    joined: list[Joined] = _with_lists(tenant, lambda memberships, most: memberships.join(tenant, listed, keys, most))
    words = {True: "joined", False: "was on it", None: "kept off"}
    rows = [(key, words[one.is_new], one.came_back, one.stopped) for key, one in zip(keys, joined, strict=True)]
    if as_json:
        show_json([dict(zip(("address", "what", "had_left", "stopped"), row, strict=True)) for row in rows])
    else:
        show_table(
            ("address", "what", "had left", "stopped by"),
            [(key, what, "yes" if came_back else "", stopped) for key, what, came_back, stopped in rows],
        )
    if any(one.stopped for one in joined):
        raise SystemExit(1)


@lists.command("leave")
@click.argument("tenant")
@click.argument("name")
@click.argument("addresses", nargs=-1, required=True)
def leave(tenant: str, name: str, addresses: Sequence[str]) -> None:
    """Unsubscribe addresses from a list, and from nothing else."""
    listed, keys = _name(name), [address_key(one) for one in addresses]
    left = _with_lists(tenant, lambda memberships, _: memberships.leave(tenant, listed, keys))
    click.echo(f"{left} left {listed}")


def _name(text: str) -> str:
    from shared.words import scopes

    try:
        return scopes.list_of(scopes.parse(scopes.of_list(text)))
    except ValueError:
        fail(f"no list can be called {text!r:.80}")


def _with_lists(tenant: str, work: "Callable[[Memberships, int], Awaitable[T]]") -> T:
    """Does `work` with the lists in Redis, and how many the tenant may have."""
    from services.suppression.memberships import Memberships
    from services.suppression.store import Lists
    from shared.process.clock import now_ms
    from shared.redis.members import Members
    from shared.redis.suppression import SuppressionList
    from shared.redis.tenants import Tenants
    from shared.words import quotas
    from shared.words.errors import Problem

    async def working(client: Any, settings: Settings) -> T:
        found = await Tenants(client).get(tenant)
        if found is None:
            raise LookupError(f"there is no tenant {tenant}")
        most = quotas.limits(settings.quotas.by_name(), found.quotas)["lists"]
        partitions = settings.redis.partitions
        memberships = Memberships(
            Members(client, partitions),
            Lists(client, partitions),
            SuppressionList(client, partitions),
            now_ms,
            lambda: secrets.token_hex(8),
        )
        try:
            return await work(memberships, most)
        except Problem as problem:
            raise LookupError(problem.detail) from None

    return with_redis(working)
