"""`estafette report-links`: who without a key may see the report of a job, and that they may no more."""

from typing import Any

import click

from services.console.session import minute, with_redis
from services.console.tables import as_json, plain, show_json, show_table
from shared.process.settings import Settings


@click.group("report-links")
def report_links() -> None:
    """Links to the report of one job, for somebody without a key. What they lead to is not shown here."""


@report_links.command("list")
@click.argument("job")
@as_json
def list_links(job: str, as_json: bool) -> None:
    """The links to a job's report that are not over, the first to be over first."""
    from shared.process.clock import now_ms

    async def listed(client: Any, settings: Settings) -> Any:
        return await (await _links(client, settings, job)).all(job, now_ms())

    rows = [(one.id.hex(), minute(one.created_ms), minute(one.over_ms), one.note) for one in with_redis(listed)]
    heads = ("link", "created", "expires", "note")
    if as_json:
        show_json([dict(zip(heads, row, strict=True)) for row in rows])
        return
    show_table(heads, rows)


@report_links.command("revoke")
@click.argument("job")
@click.argument("link")
def revoke(job: str, link: str) -> None:
    """Take a link back: it leads nowhere from now on."""
    from shared.process.clock import now_ms

    async def remove(client: Any, settings: Settings) -> Any:
        links = await _links(client, settings, job)
        for one in await links.all(job, now_ms()):
            if one.id.hex() == link and await links.remove(job, one.id, now_ms()):
                return one
        raise LookupError(f"there is no link {link!r:.40} to the report of that job, or not any more")

    found = with_redis(remove)
    click.echo(f"revoked: {link} {plain(found.note)}".rstrip())


async def _links(client: Any, settings: Settings, job: str) -> Any:
    """LookupError if there is no such job."""
    from services.reports.report_link_store import ReportLinks
    from services.reports.store import ReportReader
    from shared.words import ids

    partitions = settings.redis.partitions
    if not ids.is_job_id(job) or await ReportReader(client, partitions).job(job) is None:
        raise LookupError(f"there is no job {job!r:.40}")
    return ReportLinks(client, partitions)
