"""`estafette installation`: whose data the Redis in force holds."""

from typing import Any

import click

from services.console.session import fail, with_redis
from shared.process.settings import Settings


@click.group()
def installation() -> None:
    """Whose data the Redis in force holds."""


@installation.command("show")
def show_installation() -> None:
    """The id of the data, and whether it is what is remembered here."""
    from shared.redis import installation as installations
    from shared.redis import start

    async def show(client: Any, settings: Settings) -> tuple[str, str | None]:
        found = start.installation(client, settings)
        try:
            await found.still()
        except installations.NotOurs as words:
            return await found.stored(), str(words)
        return await found.stored(), None

    stored, why_not = with_redis(show)
    click.echo(stored or "none")
    if why_not is not None:
        fail(why_not)


@installation.command("accept")
@click.argument("ids", nargs=-1)
def accept_installation(ids: tuple[str, ...]) -> None:
    """Go on with what Redis holds now, or with nothing: what was there before is given up. IDS are those that processes
    without a data directory here remember, as their /readyz tells them."""
    from shared.redis import start
    from shared.redis.installation import ID

    if wrong := next((one for one in ids if not ID.fullmatch(one)), None):
        fail(f"{wrong!r:.80} is no id of an installation")

    async def accept(client: Any, settings: Settings) -> str:
        return await start.installation(client, settings).accept(ids)

    click.echo(f"accepted: {with_redis(accept)}")
