"""`estafette events`: what happened to the mail of a tenant, as its feed tells it, page by page or as it happens."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import click
import msgspec

from services.console.session import address_key, fail, need_tenant, with_redis
from services.console.tables import details_line, plain
from services.console.word import ago_ms, before_option, since_option
from shared.process.settings import Settings

_STREAMS = ("bulk", "one_to_one", "transactional")


@click.command()
@click.argument("tenant")
@click.option("--type", "types", multiple=True, help="Of this type only, as message.bounced; may be given again.")
@click.option("--job", default=None, help="Of this job only.")
@click.option("--recipient", default=None, help="About this address only.")
@click.option("--tag", default=None, help="Of jobs with this tag only.")
@click.option("--list", "listed", default=None, help="Of jobs of this list only.")
@click.option("--stream", "streams", type=click.Choice(_STREAMS), multiple=True, help="Of jobs of this kind only.")
@since_option
@before_option
@click.option("--oldest-first", is_flag=True, help="Else the latest come first.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
@click.option("--after", default="", help="Behind this page.")
@click.option("--follow", is_flag=True, help="What is recorded from now on, or from --since on, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="For scripts: a line of JSON for each event.")
def events(tenant: str, limit: int, oldest_first: bool, after: str, follow: bool, as_json: bool, **asked: Any) -> None:
    """Events of a tenant, as its programs get them."""
    if follow and (asked["until"] or oldest_first):
        fail("--follow has no end, and the oldest come first: leave out --until and --oldest-first")
    wanted, is_newest = _wanted(tenant, asked), not (oldest_first or follow)

    async def look(client: Any, settings: Settings) -> None:
        from services.reports.feed.feed import CursorTooOld
        from shared.archive.asked import SearchFailed

        await need_tenant(client, tenant)
        place = _place(after, settings.redis.partitions, is_newest)
        try:
            async with _feed(client, settings) as feed:
                if follow:
                    await _follow(feed, wanted, place, limit, as_json)
                else:
                    await _page(feed, wanted, place, limit, is_newest, as_json)
        except CursorTooOld:
            raise ValueError("events behind --after were removed after their retention: leave it out") from None
        except SearchFailed as fault:
            raise ValueError(str(fault)) from None

    with_redis(look)


def _wanted(tenant: str, asked: Any) -> Any:
    """Which events, as the readers of the API take it."""
    from services.reports.feed.feed import Wanted
    from shared.process.clock import now_ms
    from shared.redis.suppression import normalised
    from shared.words import ids, public

    for name in asked["types"]:
        if name not in public.TYPES:
            fail(f"there is no type {name!r:.40}; there are {', '.join(sorted(public.TYPES))}")
    if asked["job"] is not None and not ids.is_job_id(asked["job"]):
        fail(f"{asked['job']!r:.40} is not the id of a job")
    now = now_ms()
    try:
        since_ms, until_ms = (ago_ms(f"--{name}", asked[name], now) for name in ("since", "until"))
    except ValueError as fault:
        fail(str(fault))
    return Wanted(
        tenant,
        types=frozenset(asked["types"]) or None,
        job=asked["job"],
        email=None if asked["recipient"] is None else normalised(address_key(asked["recipient"])),
        tag=asked["tag"],
        list=asked["listed"],
        streams=frozenset(asked["streams"]) or None,
        since_ms=since_ms,
        until_ms=until_ms,
    )


@asynccontextmanager
async def _feed(client: Any, settings: Settings) -> AsyncIterator[Any]:
    import time

    from services.reports.behind import archive_of
    from services.reports.feed.feed import Feed
    from shared.redis.recipients import Recipients

    partitions, behind = settings.redis.partitions, archive_of(settings)
    try:
        yield Feed(client, partitions, Recipients(client, partitions), time.monotonic, behind)
    finally:
        if behind is not None:
            await behind.close()


async def _page(feed: Any, wanted: Any, place: Any, limit: int, is_newest: bool, as_json: bool) -> None:
    from services.reports.feed import cursor

    page = await feed.page(wanted, place, limit, is_newest)
    _show(page, as_json)
    if page.more:
        click.echo(f"more: --after {cursor.pack(page.positions, is_newest)}", err=True)


async def _follow(feed: Any, wanted: Any, place: Any, limit: int, as_json: bool) -> None:
    import asyncio

    from services.reports.feed.live import LOOK_S

    if place is None and wanted.since_ms is None:
        place = await feed.now()
    while True:
        page = await feed.page(wanted, place, limit)
        _show(page, as_json)
        place = page.positions
        if not page.more:
            await asyncio.sleep(LOOK_S)


def _place(after: str, partitions: int, is_newest: bool) -> Any:
    from services.reports.feed import cursor

    if not after:
        return None
    found = cursor.unpack(after)
    if len(found.positions) != partitions or found.is_newest != is_newest:
        raise cursor.InvalidCursor
    return found.positions


def _show(page: Any, as_json: bool) -> None:
    for event in page.events:
        if as_json:
            click.echo(msgspec.json.encode(event))
            continue
        about, email = event.message or event.job or "-", plain(event.email or "-")
        line = f"{event.time}  {event.type:<22}  {about}  {email}  {details_line(event.details)}"
        click.echo(line.rstrip())
