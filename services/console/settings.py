"""`estafette settings`: every setting in force, or the page of all that there are."""

import json
import os

import click

from services.console.session import fail
from shared.process import settings as settings_module
from shared.process.settings import SettingsError


@click.command("settings")
@click.option("--markdown", is_flag=True, help="The page docs/settings.md: all that there are, with their comments.")
def settings(markdown: bool) -> None:
    """Every setting in force, and where it comes from."""
    from services import settings as joined
    from services.console import settings_page

    if markdown:
        click.echo(settings_page.page(), nl=False)
        return
    environ = os.environ
    try:
        found = joined.explain(environ, settings_module.settings_file(environ))
    except SettingsError as error:
        fail(str(error))
    width = max(len(line.name) for line in found)
    for line in found:
        value = json.dumps(settings_module.masked(line.value))
        click.echo(f"{line.name:<{width}} = {value:<24} {line.source}")
