"""`estafette statistics`: what happened to a tenant's mail, or to one job, as the API tells it."""

from typing import Any

import click

from services.console.session import need_tenant, with_redis
from services.console.tables import as_json, show_json, show_table
from shared.process.settings import Settings

_BY = (
    "day", "hour", "list", "tag", "category", "stream", "domain", "provider", "source", "device", "client", "reason",
)  # fmt: skip
_COLUMNS = (
    "time", "accepted", "delivered", "bounced", "invalid", "opened", "clicked", "complained", "unsubscribed",
)  # fmt: skip


@click.group()
def statistics() -> None:
    """Counts and rates, by hour and by what tells mail apart."""


@statistics.command("tenant")
@click.argument("tenant")
@click.option("--by", type=click.Choice(_BY), default="day", show_default=True, help="By what they are told apart.")
@click.option("--interval", type=click.Choice(("none", "day", "hour")), default="none", show_default=True)
@click.option("--from", "since", type=click.DateTime(), default=None, help="From this time on (UTC).")
@click.option("--to", "until", type=click.DateTime(), default=None, help="Up to this time (UTC).")
@click.option("--list", "listed", default=None, help="Of jobs of this list only.")
@click.option("--tag", default=None, help="Of jobs with this tag only.")
@as_json
def of_tenant(
    tenant: str, by: Any, interval: Any, since: Any, until: Any, listed: str | None, tag: str | None, as_json: bool
) -> None:
    """Of a tenant, the last week if no time is said."""
    from datetime import UTC

    from services.reports.behind import archive_of
    from services.reports.settings import Reports
    from services.reports.statistics import StatisticsQuery, StatisticsReader
    from shared.archive.asked import SearchFailed
    from shared.process.clock import now_ms
    from shared.words.errors import Problem

    times = [time and time.replace(tzinfo=UTC) for time in (since, until)]
    query = StatisticsQuery(times[0], times[1], by, interval, listed, tag)

    async def look(client: Any, settings: Settings) -> Any:
        await need_tenant(client, tenant)
        behind, days = archive_of(settings), settings.of(Reports).statistics_days
        reader = StatisticsReader(client, settings.redis.partitions, now_ms, days, behind)
        try:
            return await reader.of_tenant(tenant, query)
        except Problem as problem:
            raise ValueError("; ".join(f"{fault.at.strip('?$.')}: {fault.what}" for fault in problem.faults)) from None
        except SearchFailed as fault:
            raise ValueError(str(fault)) from None
        finally:
            if behind is not None:
                await behind.close()

    found = with_redis(look)
    if as_json:
        show_json(found)
        return
    show_table((by, *_COLUMNS), [(row.key or "", *_cells(row)) for row in (*found.rows, found.total)])


@statistics.command("job")
@click.argument("job")
@as_json
def of_job(job: str, as_json: bool) -> None:
    """Of a job, hour by hour."""
    from services.console.jobs import read_reports
    from services.reports.shown import job_shown
    from services.reports.statistics import StatisticsReader
    from shared.process.clock import now_ms
    from shared.words import ids

    async def look(client: Any, settings: Settings) -> Any:
        reader, jobs = read_reports(client, settings)
        found = await reader.job(job) if ids.is_job_id(job) else None
        if found is None:
            raise LookupError(f"there is no job {job!r:.40}")
        shown = await job_shown(reader, jobs, found)
        return await StatisticsReader(client, settings.redis.partitions, now_ms).of_job(shown)

    found = with_redis(look)
    if as_json:
        show_json(found)
        return
    show_table(_COLUMNS, [_cells(hour) for hour in found.hours])


def _cells(row: Any) -> tuple[Any, ...]:
    counts = row.counts
    return (
        (row.time or "all")[:16], counts.accepted, counts.delivered, counts.bounced.total, counts.bounced.hard,
        counts.opens.unique, counts.clicks.unique, counts.complaints.unique, counts.unsubscriptions.unique,
    )  # fmt: skip
