"""The console command `estafette`: what an operator types. A noun of it is a module beside this one."""

import tempfile
import traceback
from typing import Any

import click

from services import catalogue
from services.console import (
    activity,
    api_keys,
    archive,
    at_risk,
    classify,
    consents,
    contact_events,
    contact_imports,
    contacts,
    dead,
    doctor,
    domains,
    drops,
    escalation,
    events,
    installation,
    jobs,
    links,
    lists,
    messages,
    once,
    people,
    pressure,
    queue,
    reply,
    report_links,
    restore,
    retention,
    rewrite,
    route,
    rules,
    secret,
    seeds,
    segments,
    settings,
    sites,
    statistics,
    stops,
    suppressions,
    templates,
    tenants,
    top,
    trace,
    usage,
    webhooks,
)
from services.console.session import fail, in_force, with_redis
from shared.process.settings import Settings
from shared.words.errors import OperatorFault


class Console(click.Group):
    """Whatever fails ends in a sentence and exit code 2. The traceback of what should not have happened is in a file:
    it is for who mends it, and may show what nobody else should see."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.Abort, click.exceptions.Exit, BrokenPipeError):
            raise  # click ends with these as it should
        except OperatorFault as error:
            fail(str(error))
        except OSError as error:
            fail(": ".join(str(part) for part in (error.filename, error.strerror or error) if part is not None))
        except Exception as error:
            with tempfile.NamedTemporaryFile("w", prefix="estafette-", suffix=".traceback", delete=False) as file:
                traceback.print_exc(file=file)
            fail(f"this is a fault of Estafette: {type(error).__name__}. What is needed to mend it is in {file.name}")


@click.group(cls=Console, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="estafette", prog_name="estafette", message="%(prog)s %(version)s")
def main() -> None:
    """The sending and tracking engine. Settings: estafette.toml and ESTAFETTE_<SECTION>_<FIELD>."""


@main.command()
def run() -> None:
    """Run one whole instance on this machine, until Ctrl-C."""
    from services.local import run as instance

    try:
        instance.run(in_force())
    except instance.CannotRun as error:
        fail(str(error))


@main.command(epilog=f"Processes: {', '.join(catalogue.SERVED)}.")
@click.argument("service", type=click.Choice(catalogue.SERVED), metavar="PROCESS")
def serve(service: str) -> None:
    """Run one process: the loop of a service, or `http`, every route."""
    from services.settings import read
    from shared.process import lifecycle

    if not in_force().redis.url:
        fail("set redis.url: a process that is served alone starts no Redis")
    lifecycle.run(catalogue.BY_NAME[service].main().main, service, read)


@main.command()
def demo() -> None:
    """Send a campaign of 1,000 recipients through the running instance and print its report."""
    from services.local import demo as campaign

    settings = in_force()
    try:
        campaign.run(settings)
    except campaign.DemoFailed as error:
        fail(str(error))


@main.command()
@click.option("--partition", type=int, default=None, help="Only this partition.")
@click.option("--fact", default=None, help="Only facts of this name, as Bounced.")
@click.option("--from-start", is_flag=True, help="Everything that is kept, not only what comes from now on.")
@click.option("--no-follow", is_flag=True, help="End where the streams end.")
def tail(partition: int | None, fact: str | None, from_start: bool, no_follow: bool) -> None:
    """Print events as JSON lines, as they happen."""
    from services.console import tail as reader
    from shared.words.events import FACTS

    if fact is not None and fact not in FACTS:
        fail(f"there is no fact {fact!r:.40}; there are {', '.join(FACTS)}")

    async def print_all(client: Any, settings: Settings) -> None:
        if partition is not None and not 0 <= partition < settings.redis.partitions:
            raise ValueError(f"there is no partition {partition}; there are 0 to {settings.redis.partitions - 1}")
        partitions = range(settings.redis.partitions) if partition is None else [partition]
        async for line in reader.read(client, partitions, fact=fact, from_start=from_start, follow=not no_follow):
            click.echo(line)

    with_redis(print_all)


for noun in (
    settings.settings,
    tenants.tenants,
    api_keys.keys,
    domains.domains,
    links.links,
    installation.installation,
    restore.restore,
    secret.secret,
    stops.stops,
    webhooks.webhooks,
    drops.drops,
    sites.sites,
    queue.queue,
    jobs.jobs,
    jobs.report,
    report_links.report_links,
    statistics.statistics,
    usage.usage,
    events.events,
    messages.messages,
    jobs.message,
    dead.dead,
    suppressions.suppressions,
    templates.templates,
    rules.rules,
    escalation.escalation,
    lists.lists,
    people.people,
    pressure.pressure,
    once.once,
    seeds.seeds,
    consents.consents,
    contacts.contacts,
    segments.segments,
    contact_imports.contact_imports,
    activity.activity,
    at_risk.at_risk,
    contact_events.contact_events,
    retention.retention,
    archive.archive,
    route.route,
    reply.reply,
    rewrite.rewrite,
    classify.classify,
    trace.trace,
    top.top,
    doctor.doctor,
):
    main.add_command(noun)


if __name__ == "__main__":
    main()
