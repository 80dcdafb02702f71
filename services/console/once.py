"""`estafette once`: whom operations of a tenant have reached, over all of its jobs."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from services.console.jobs import read_reports
from services.console.session import address_key, fail, minute, need_tenant, with_redis
from services.console.tables import as_json, plain, show_json, show_table
from shared.process.clock import now_ms
from shared.process.settings import Settings
from shared.words import once as operations
from shared.words.times import rfc3339

if TYPE_CHECKING:
    from shared.redis.once import Held

#: Jobs of a tenant in which names and messages are looked for, the latest first, and how many in one round trip.
_MOST_JOBS, _TOGETHER = 100_000, 500


class _Job(NamedTuple):
    id: str
    operation: str
    total: int


@click.group()
def once() -> None:
    """Whom operations have reached: jobs with one name for `once`."""


@once.command("list")
@click.argument("tenant")
@as_json
def list_operations(tenant: str, as_json: bool) -> None:
    """The operations of a tenant that hold places, the latest first.

    A place is known by a digest of its operation, so the names are those of jobs that are there yet; where all of an
    operation are gone, it is shown by its digest."""
    names: dict[bytes, str] = {}

    async def look(client: Any, settings: Settings) -> "dict[bytes, Held]":
        found = await _held(client, settings, tenant)
        async for job in _jobs(client, settings, tenant):
            if found.keys() <= names.keys():
                break
            if job.operation:
                names[operations.half(job.operation)] = job.operation
        return found

    held = sorted(with_redis(look).items(), key=lambda one: one[1].last_s, reverse=True)
    if as_json:
        show_json([{**_shown(names.get(half), one), "digest": half.hex()} for half, one in held])
        return
    rows = [(names.get(half) or f"(digest {half.hex()})", *_row(one)) for half, one in held]
    show_table(("operation", "places", "first counted", "last counted", "first ends", "last ends"), rows)
    if not held:
        click.echo(f"no operation of {tenant} holds a place")


@once.command("show")
@click.argument("tenant")
@click.argument("operation")
@as_json
def show_operation(tenant: str, operation: str, as_json: bool) -> None:
    """How many places an operation holds, and until when; exit code 1 if it holds none."""

    async def look(client: Any, settings: Settings) -> "dict[bytes, Held]":
        return await _held(client, settings, tenant)

    held = with_redis(look).get(operations.half(operation))
    if held is None:
        click.echo("{}" if as_json else f"{plain(operation)} holds no place with {tenant}")
        raise SystemExit(1)
    if as_json:
        show_json(_shown(operation, held))
        return
    show_table(("places", "first counted", "last counted", "first ends", "last ends"), [_row(held)])


@once.command("find")
@click.argument("tenant")
@click.argument("operation")
@click.argument("address", required=False)
@click.option("--key", default="", help="The key that a job gave the recipient, as it is written; no address then.")
@as_json
def find_place(tenant: str, operation: str, address: str | None, key: str, as_json: bool) -> None:
    """Whether somebody has been counted under an operation: when, by which message, until when; exit code 1 if not."""
    if bool(address) == bool(key):
        fail("name an address, or with --key the key that a job gave the recipient")
    name = address_key(address) if address else key
    who, half = operations.identity(name, key), operations.half(operation)

    async def look(client: Any, settings: Settings) -> tuple[int, str] | None:
        from shared.redis.once import Once
        from shared.words import ids, pressure

        await need_tenant(client, tenant)
        place = await Once(client, settings.redis.partitions).counted(tenant, who, half, now_ms() // 1000)
        if place is None:
            return None
        async for job in _jobs(client, settings, tenant):
            ordinal = pressure.ordinal(pressure.first_mark(job.id), place[1])
            if ordinal < job.total:
                return place[0], ids.message_id(job.id, ordinal)
        return place[0], ""

    found = with_redis(look)
    if found is None:
        click.echo("{}" if as_json else f"{plain(name)} has not been counted under {plain(operation)}")
        raise SystemExit(1)
    at_s, message = found
    if as_json:
        show_json({"counted": _time(at_s), "ends": _time(at_s + operations.LIFETIME_S), "message": message or None})
        return
    by = f"by {message}" if message else "by a message of a job that is gone"
    ends = minute((at_s + operations.LIFETIME_S) * 1000)
    click.echo(f"{plain(name)} was counted under {plain(operation)} at {minute(at_s * 1000)} {by}, until {ends}")


async def _held(client: Any, settings: Settings, tenant: str) -> "dict[bytes, Held]":
    from shared.redis.once import Once

    await need_tenant(client, tenant)
    return await Once(client, settings.redis.partitions).held(tenant, now_ms() // 1000)


async def _jobs(client: Any, settings: Settings, tenant: str) -> AsyncIterator[_Job]:
    """The latest jobs of a tenant that are there, the latest first."""
    from shared.redis import jobs

    reader, _ = read_reports(client, settings)
    after = ""
    for _ in range(_MOST_JOBS // _TOGETHER):
        names = await reader.jobs(tenant, after, _TOGETHER)
        found = await jobs.read_many(client, settings.redis.partitions, names, (jobs.ONCE, jobs.TOTAL))
        for name, job in zip(names, found, strict=True):
            yield _Job(name, job[jobs.ONCE], job[jobs.TOTAL])
        if len(names) < _TOGETHER:
            return
        after = names[-1]


def _row(held: "Held") -> tuple[object, ...]:
    ends = (held.first_s + operations.LIFETIME_S, held.last_s + operations.LIFETIME_S)
    return held.places, *(minute(at_s * 1000) for at_s in (held.first_s, held.last_s, *ends))


def _shown(name: str | None, held: "Held") -> dict[str, object]:
    return {
        "operation": name,
        "places": held.places,
        "first_counted": _time(held.first_s),
        "last_counted": _time(held.last_s),
        "first_ends": _time(held.first_s + operations.LIFETIME_S),
        "last_ends": _time(held.last_s + operations.LIFETIME_S),
    }


def _time(at_s: int) -> str:
    return rfc3339(at_s * 1000)
