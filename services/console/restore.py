"""`estafette restore`: after an older copy of Redis was put back, what may have been sent since is not sent again."""

import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from services.console.session import fail, with_redis
from services.console.tables import as_json, show_json, show_table
from services.console.word import who
from shared.process.settings import Settings

if TYPE_CHECKING:
    from services.queueing.restoring import Stays, Tally


@click.command()
@click.option(
    "--before", required=True, help="When the installation stood still: what was made until then may have been sent."
)
@click.option("--bulk", is_flag=True, help="Bulk alone: the rest is sent, though it may be for the second time.")
@click.option("--why", default="an older copy of Redis was put back", help="For whoever reads it later.")
@click.option("--dry-run", is_flag=True, help="Only say what would end.")
@as_json
def restore(before: str, bulk: bool, why: str, dry_run: bool, as_json: bool) -> None:
    """End what waits in an older copy of Redis and may have been sent since it was taken. Run it before anything is
    started: while a relay or queueing is alive, it refuses. Messages of jobs made until --before (a time such as
    2026-01-31T10:00:00Z) end as failed, `may_have_been_sent`; jobs that are open, or scheduled for later, stay. Once
    more, it goes on where it was."""
    before_ms = moment_ms(before)
    if not why.strip() or len(why) > 500:
        fail("--why takes a sentence of at most 500 characters")

    async def working(client: Any, settings: Settings) -> "tuple[Tally, Stays]":
        return await _restored(client, settings, before_ms, bulk, "" if dry_run else why)

    ended, stays = with_redis(working)
    if as_json:
        rows = [one._asdict() for one in ended.rows()]
        said = {"before": utc(before_ms), "dry_run": dry_run, "messages": ended.messages, "ended": rows}
        show_json(said | {"stays": stays._asdict()})
        return
    show_table(("tenant", "stream", "jobs", "messages"), ended.rows())
    done = "would end" if dry_run else "ended"
    click.echo(f"{done}: {ended.messages} messages of jobs made before {utc(before_ms)} (failed, may_have_been_sent)")
    click.echo(
        f"stays: {stays.messages} messages to be sent, {stays.open_jobs} open jobs, {stays.scheduled_jobs} scheduled"
    )


async def _restored(client: Any, settings: Settings, before_ms: int, bulk: bool, why: str) -> "tuple[Tally, Stays]":
    """What was ended, or without a reason would be, and what stays. ValueError in words where it is not to be done."""
    from services.operator.operator import Act, Operator
    from services.queueing.restoring import Restoring
    from shared.process import logs
    from shared.process.clock import now_ms
    from shared.redis import redis, start

    logs.configure("console", settings.logs.level)
    if before_ms > now_ms():
        raise ValueError("--before is a time that has passed: when the installation stood still")
    partitions = settings.redis.partitions
    if (stored := await redis.stored_partitions(client)) != partitions:
        raise ValueError(f"this Redis has {stored or 'no'} partitions, the settings say {partitions}: it is not ours")
    publisher, run = start.publisher(client, settings), secrets.token_hex(8)
    restoring = Restoring(client, partitions, publisher, now_ms, before_ms=before_ms, bulk=bulk, run=run)
    if alive := await restoring.alive():
        raise ValueError(f"{alive} is alive, or was a moment ago: stop all that sends, and try again in 15 seconds")
    found, stays = await restoring.look()
    if why:
        found = await restoring.end()
        act = Act(who(), "", why)
        await Operator(client, partitions, publisher, now_ms).restored(utc(before_ms), act, found.messages)
    return found, stays


def moment_ms(text: str) -> int:
    """A time in ms. Ends the command in words where it is none."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        fail(f"--before takes a time such as 2026-01-31T10:00:00Z, not {text!r:.40}")
    return int(at.timestamp() * 1000)


def utc(at_ms: int) -> str:
    """To the second."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
