"""`estafette segments`: the segments of a tenant, what one asks, how many belong, and some of them."""

from typing import TYPE_CHECKING, Any

import click
import msgspec

from services.console.contact_base import of_tenant, with_base
from services.console.session import minute
from services.console.tables import as_json, show_json, show_table

if TYPE_CHECKING:
    from services.contacts.base.database import Database

_segment = click.argument("segment", type=click.IntRange(1, 2**31 - 1))


@click.group()
def segments() -> None:
    """Segments of a tenant's contacts: list, show, count, sample."""


@segments.command("list")
@click.argument("tenant")
@as_json
def list_segments(tenant: str, as_json: bool) -> None:
    """Every segment that is in force."""
    from services.contacts.segments import store

    async def look(database: "Database") -> Any:
        of = await of_tenant(database, tenant)
        async with database.transaction() as sql:
            return await store.saved(sql, of.number)

    found = with_base(tenant, look)
    if as_json:
        show_json([_shown(one) for one in found])
        return
    rows = [(one.segment, one.name, one.version, _since(one), ", ".join(map(str, one.uses))) for one in found]
    show_table(("segment", "name", "version", "since", "uses"), rows)


@segments.command("show")
@click.argument("tenant")
@_segment
@as_json
def show(tenant: str, segment: int, as_json: bool) -> None:
    """A segment with its criteria, as JSON that `POST /v1/segments` takes."""
    one = _of(tenant, segment)
    if as_json:
        show_json(_shown(one))
        return
    click.echo(f"segment {one.segment}, version {one.version} since {_since(one)}: {one.name}")
    show_json(_criteria(one))


@segments.command("count")
@click.argument("tenant")
@_segment
@as_json
def count(tenant: str, segment: int, as_json: bool) -> None:
    """How many contacts belong now, and how many of them may be reached by each channel."""

    async def look(database: "Database", sql: Any, number: int, criterion: Any) -> Any:
        from services.contacts.segments import store

        return await store.count(sql, number, criterion, _now())

    found = _used(tenant, segment, look)
    if as_json:
        show_json(found)
        return
    click.echo(f"{found.contacts} contacts: {found.email} by email, {found.sms} by sms, {found.phone} by phone")


@segments.command("sample")
@click.argument("tenant")
@_segment
@click.option("--limit", type=click.IntRange(1, 1000), default=10, show_default=True)
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, help="Another number shows others.")
@as_json
def sample(tenant: str, segment: int, limit: int, seed: int, as_json: bool) -> None:
    """Some of the contacts who belong, in no order that means anything."""

    async def look(database: "Database", sql: Any, number: int, criterion: Any) -> Any:
        from services.contacts.segments import store

        numbers = await store.sample(sql, number, criterion, _now(), limit, seed)
        return await store.called(sql, number, numbers)

    found = [(row["key"], row["copy"], row["email"]) for row in _used(tenant, segment, look)]
    heads = ("key", "copy", "email")
    if as_json:
        show_json([dict(zip(heads, one, strict=True)) for one in found])
    else:
        show_table(heads, found)


def _of(tenant: str, segment: int) -> Any:
    from services.contacts.segments import store

    async def look(database: "Database") -> Any:
        of = await of_tenant(database, tenant)
        async with database.transaction() as sql:
            try:
                return await store.get(sql, of.number, segment)
            except store.NotThere:
                raise LookupError(f"{tenant} has no segment {segment}") from None

    return with_base(tenant, look)


def _used(tenant: str, segment: int, work: Any) -> Any:
    """What `work` finds of who belongs, at one moment."""
    from services.contacts.segments import store

    async def look(database: "Database") -> Any:
        of = await of_tenant(database, tenant)
        async with database.transaction(repeatable=True) as sql:
            try:
                saved = await store.get(sql, of.number, segment)
            except store.NotThere:
                raise LookupError(f"{tenant} has no segment {segment}") from None
            return await work(database, sql, of.number, saved.criterion)

    return with_base(tenant, look)


def _now() -> Any:
    from datetime import UTC, datetime

    from shared.process.clock import now_ms

    return datetime.fromtimestamp(now_ms() / 1000, UTC)


def _since(one: Any) -> str:
    return minute(round(one.made_at.timestamp() * 1000))


def _criteria(one: Any) -> Any:
    from services.contacts.segments import language

    return msgspec.json.decode(language.packed(one.criterion))


def _shown(one: Any) -> dict[str, Any]:
    return {
        "segment": one.segment,
        "name": one.name,
        "version": one.version,
        "since": _since(one),
        "uses": one.uses,
        "criteria": _criteria(one),
    }
