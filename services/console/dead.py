"""`estafette dead`: entries of streams that no reader could handle."""

from typing import Any

import click
import msgspec

from services.console.session import fail, with_redis
from services.console.tables import as_json, show_json, show_table
from services.console.word import acting, done_line, why_option
from shared.process.settings import Settings


@click.group()
def dead() -> None:
    """Dead entries: what no reader could handle, until it is replayed or dropped."""


@dead.command("list")
@click.option("--stream", type=click.Choice(("events", "intake", "ready")), default=None)
@click.option("--after", default="", help="Those behind this entry.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@as_json
def list_dead(stream: str | None, after: str, limit: int, as_json: bool) -> None:
    """The dead entries; exit code 1 if there are any."""
    from services.operator.letters import shown
    from shared.redis.dead import DeadLetters

    async def look(client: Any, settings: Settings) -> Any:
        found = await DeadLetters(client, settings.redis.partitions).page(stream, after, limit + 1)
        return [shown(one) for one in found]

    found = with_redis(look)
    if as_json:
        show_json(found[:limit])
    else:
        show_table(
            ("entry", "message", "buried", "bytes", "reason"),
            [(one.entry, one.name, one.buried_at, one.size_bytes, one.reason[:80]) for one in found[:limit]],
        )
    if len(found) > limit:
        click.echo(f"more: --after {found[limit - 1].entry}", err=True)
    if found:
        raise SystemExit(1)


@dead.command("show")
@click.argument("entry")
def show_dead(entry: str) -> None:
    """One entry as JSON: what it says, and why it could not be handled."""
    from services.operator.letters import shown
    from shared.redis.dead import DeadLetters

    async def look(client: Any, settings: Settings) -> Any:
        return await DeadLetters(client, settings.redis.partitions).get(entry)

    found = with_redis(look)
    if found is None:
        fail(f"there is no dead entry {entry!r:.80}")
    show_json(msgspec.to_builtins(shown(found)))


@dead.command("replay")
@click.argument("entries", nargs=-1, required=True)
@why_option
def replay_dead(entries: tuple[str, ...], why: str) -> None:
    """Put entries back where they came from."""
    for entry in entries:
        done_line(acting(why, "", lambda operator, act, entry=entry: operator.replay(entry, act)))  # type: ignore[misc]


@dead.command("drop")
@click.argument("entries", nargs=-1, required=True)
@why_option
def drop_dead(entries: tuple[str, ...], why: str) -> None:
    """Give entries up."""
    for entry in entries:
        done_line(acting(why, "", lambda operator, act, entry=entry: operator.drop(entry, act)))  # type: ignore[misc]
