"""`estafette settings`: every setting in force, the page of all that there are, or whether they are right."""

import json
import os

import click

from services.console.session import fail
from shared.process import settings as settings_module
from shared.process.settings import SettingsError


@click.command("settings")
@click.option("--markdown", is_flag=True, help="The page docs/settings.md: all that there are, with their comments.")
@click.option("--check", is_flag=True, help="Whether they and the files that they name are right; nothing is applied.")
def settings(markdown: bool, check: bool) -> None:
    """Every setting in force, and where it comes from."""
    from services import settings as joined
    from services.console import settings_page

    if markdown:
        click.echo(settings_page.page(), nl=False)
        return
    if check:
        _check()
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


def _check() -> None:
    """All that a start or a SIGHUP would refuse, a line each on standard error, and exit code 1."""
    from services import settings as joined
    from services.bounces import certificate as bounces_certificate
    from services.relay import files
    from services.submission import certificate as submission_certificate
    from services.tracking import network_files
    from services.tracking import settings as tracking
    from shared.process import coherence, shown_certificate

    try:
        found = joined.read()
        coherence.refuse(found)
        files.read(found)
        certificates = (bounces_certificate.named(found), submission_certificate.named(found))
        for certificate in certificates:
            shown_certificate.check(certificate)
        network_files.read(found)
    except SettingsError as error:
        for fault in error.faults:
            click.echo(fault, err=True)
        raise SystemExit(1) from None
    for doubt in (one.text for one in coherence.findings(found) if not one.fatal):
        click.echo(f"doubtful: {doubt}", err=True)
    named = (
        settings_module.settings_file(os.environ),
        found.relay.shaping_file,
        found.relay.egress_file,
        found.relay.routes_file,
        *(file for one in certificates for file in (one.certificate, one.key)),
        found.of(tracking.Tracking).networks_file,
    )
    looked_at = ", ".join(str(file) for file in named if file)
    click.echo(f"right: {looked_at or 'there are no files, and so all is as it comes'}")
