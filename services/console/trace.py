"""`estafette trace --site SITE`: the SMTP dialogues of the next sessions with a site, as they happen."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import click

from services.console.session import with_redis
from services.console.tables import as_json
from services.console.word import lasting_s
from shared.process.settings import Settings

if TYPE_CHECKING:
    from shared.redis.dialogues import Asked, DialogueList, Line

#: Lines read at once, how long is waited for the first of them, and, once the time is over, for the last: relays tell
#: each half second.
TOGETHER = 500
WAIT_MS = 500
LATE_MS = 1_500
_SIGNS = {"sent": ">", "received": "<", "note": "·", "end": "·"}


@click.command()
@click.option("--site", required=True, help="A site, or a named provider.")
@click.option("--sessions", type=click.IntRange(1, 20), default=3, show_default=True, help="The next so many.")
@click.option("--for", "time", default="5m", show_default=True, help="For how long at most: 30s to 1h.")
@as_json
def trace(site: str, sessions: int, time: str, as_json: bool) -> None:
    """Follow the SMTP dialogues of the next sessions with a site: connections that are opened from now on. Secrets are
    masked, and of a mail there is its length alone. Ends when all of them have ended, or the time is over; exit code 1
    if fewer came to their end by then. With --json a JSON object a line."""
    import msgspec

    from services.operator.traces import said
    from shared.process.clock import now_ms
    from shared.redis.dialogues import LEAST_S, MOST_S, DialogueList

    async def follow(client: Any, settings: Settings) -> bool:
        seconds = lasting_s(time)
        if not LEAST_S <= seconds <= MOST_S:
            raise ValueError(f"--for takes {LEAST_S}s to {MOST_S // 60}m, not {time!r:.40}")
        dialogues = DialogueList(client, now_ms)
        asked = await dialogues.ask(site, sessions, seconds)
        click.echo(f"waiting for {sessions} sessions with {site}, for {time} at most", err=True)
        seen, ended = set[int](), 0
        try:
            async for line in _lines(dialogues, asked, sessions):
                ended += line.kind == "end"
                if as_json:
                    click.echo(msgspec.json.encode(said(line)).decode())
                    continue
                if line.session not in seen:
                    click.echo(f"#{line.session}  {line.host} from {line.source}, by {line.relay}")
                    seen.add(line.session)
                click.echo(f"#{line.session}  {said(line).time[11:23]} {_SIGNS[line.kind]} {line.text}")
        finally:
            await dialogues.end(site, asked)
        return ended == sessions

    if not with_redis(follow):
        raise SystemExit(1)


async def _lines(dialogues: "DialogueList", asked: "Asked", sessions: int) -> "AsyncIterator[Line]":
    """As they are told, until so many sessions have ended, or a little after the time is over."""
    from shared.process.clock import now_ms

    after, ended = "0-0", 0
    while ended < sessions and now_ms() < asked.until_ms + LATE_MS:
        for place, line in await dialogues.lines(asked.id, after, TOGETHER, WAIT_MS):
            after = place
            ended += line.kind == "end"
            yield line
