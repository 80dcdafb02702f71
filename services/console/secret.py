"""`estafette secret`: the master secret that Redis is used with."""

from typing import Any

import click

from services.console.session import with_redis
from shared.process.settings import Settings


@click.group()
def secret() -> None:
    """The master secret, by which links and return paths are signed and DKIM keys are encrypted."""


@secret.command("accept")
def accept_secret() -> None:
    """Go on with the secret that the settings name, although Redis was used with another one. Links and return paths of
    mails already sent are void then, and DKIM keys that it cannot open have to be made anew (`domains rotate`)."""
    from shared.process import master_secret
    from shared.redis import known_secret

    async def accept(client: Any, settings: Settings) -> str:
        try:
            named = master_secret.load(settings, make=False)
        except master_secret.NoSecret as error:
            raise LookupError(f"{error}; name the data.dir of an instance, or secret.key_file") from None
        await known_secret.accept(client, named)
        return str(settings.secret_file)

    click.echo(f"accepted: the secret in {with_redis(accept)}")
