"""`estafette jobs`, `report` and `message`: what became of jobs and messages, and what an operator does about them."""

from collections.abc import Awaitable, Callable
from typing import Any, Literal

import click
import msgspec

from services.console.session import fail, with_redis
from services.console.tables import as_json, details_line, show_json, show_table
from services.console.word import acting, done_line, until_option, why_option
from shared.process.settings import Settings
from shared.words import result_sets
from shared.words.result_sets import REASONS, STATES

_STATES = ("open", "scheduled", "selecting", "queueing", "queued", "paused", "stopped", "cancelling", "done")
_format_option = click.option("--format", type=click.Choice(("ndjson", "csv")), default="ndjson", show_default=True)


@click.group()
def jobs() -> None:
    """Jobs of all tenants: found, suspended, cancelled."""


@jobs.command("list")
@click.option("--tenant", default=None, help="Only this tenant's.")
@click.option("--state", type=click.Choice(_STATES), multiple=True, help="Only in this state; may be given again.")
@click.option("--tag", default=None, help="Only with this tag.")
@click.option("--limit", type=click.IntRange(1, 200), default=20, show_default=True)
@click.option("--after", default="", help="Those made before this job.")
@as_json
def list_jobs(
    tenant: str | None, state: tuple[str, ...], tag: str | None, limit: int, after: str, as_json: bool
) -> None:
    """The latest jobs first."""
    from services.reports.job_list import JobQuery

    query = JobQuery(after=after, limit=limit, state=frozenset(state) or None, tag=tag)
    page = _read(lambda _, jobs: jobs.page(query, tenant))
    if as_json:
        show_json(page)
        return
    show_table(
        (
            "job", "tenant", "state", "stream", "created", "total", "delivered", "bounced", "cancelled", "pending",
            "subject",
        ),
        [
            (
                one.id, one.tenant, one.state, one.stream, one.created_at[:16], one.total, one.delivered, one.bounced,
                one.cancelled, one.pending, one.subject[:40],
            )
            for one in page.jobs
        ],
    )  # fmt: skip
    if page.next is not None:
        click.echo(f"more: --after {page.next}", err=True)


@jobs.command("messages")
@click.argument("job")
@click.option("--state", type=click.Choice(STATES), default="selected", show_default=True, help="Which of them.")
@click.option("--link", type=int, default=None, help="Clicked, or not: the link at this position.")
@click.option("--url", default=None, help="Clicked, or not: any link that leads there.")
@click.option("--reason", type=click.Choice(REASONS), default=None, help="Left out for this reason.")
@_format_option
def list_messages(
    job: str, state: str, link: int | None, url: str | None, reason: str | None, format: Literal["ndjson", "csv"]
) -> None:
    """The messages of a job in one state, as lines of JSON or as CSV."""
    one = {"job": job, "state": state, "link": link, "url": url, "reason": reason}
    _write_set(one, format, "")


@jobs.command("results")
@click.argument("tenant")
@click.argument("expression", type=click.File("rb"), default="-")
@_format_option
def list_results(tenant: str, expression: Any, format: Literal["ndjson", "csv"]) -> None:
    """Who is in a set of recipients of a tenant's jobs: an expression as POST /v1/results takes it, from a file."""
    try:
        given = msgspec.json.decode(expression.read())
    except ValueError as fault:
        fail(f"the expression is no JSON: {fault}")
    _write_set(given, format, tenant)


def _write_set(given: Any, format: Literal["ndjson", "csv"], tenant: str) -> None:
    """`tenant` "": the messages of the one job that is named, whosever it is."""
    from secrets import token_bytes

    from services.reports import results
    from shared.redis.recipients import Recipients
    from shared.redis.result_sets import ResultSets

    expression, faults = result_sets.read(given)
    if expression is None:
        fail("; ".join(f"{fault.at}: {fault.what}" for fault in faults))

    async def writing(client: Any, settings: Settings) -> None:
        sets = ResultSets(client, settings.redis.partitions)
        whose = tenant or await Recipients(client, settings.redis.partitions).tenant_of(expression.jobs[0]) or ""
        if not whose:
            raise LookupError(f"there is no job {expression.jobs[0]}")
        named, missing = await sets.named(whose, expression)
        if missing:
            raise LookupError("; ".join(f"{fault.at}: {fault.what}" for fault in missing))
        if tenant or not isinstance(expression.node, result_sets.Set):
            found = sets.recipients(named, expression.node, token_bytes(16))
        else:
            found = sets.messages(named[0], expression.node)
        head, written = results.WRITTEN[format]
        click.echo(head, nl=False)
        async for some in found:
            click.echo(written(some), nl=False)

    with_redis(writing)


@click.command()
@click.argument("job")
@as_json
def report(job: str, as_json: bool) -> None:
    """What became of a job: its state, and its messages by their end."""
    from services.reports.shown import job_shown
    from shared.words import ids

    async def look(reader: Any, jobs: Any) -> Any:
        found = await reader.job(job) if ids.is_job_id(job) else None
        if found is None:
            raise LookupError(f"there is no job {job!r:.40}")
        return await job_shown(reader, jobs, found)

    found = _read(look)
    if as_json:
        show_json(found)
        return
    counts = found.counts
    click.echo(f"{found.id}: {found.state}, {found.stream}, from {found.sender}, {found.subject[:60]!r}")
    if found.stopped is not None:
        click.echo(f"stopped: {found.stopped.name}, {found.stopped.reason}, since {found.stopped.since}")
    show_table(
        ("messages", "number"),
        [
            ("total", found.total), ("rejected", counts.rejected), ("suppressed", counts.suppressed.total),
            ("accepted", counts.accepted), ("delivered", counts.delivered), ("bounced", counts.bounced.total),
            ("expired", counts.expired), ("failed", counts.failed), ("cancelled", counts.cancelled.total),
            ("pending", counts.pending), ("deferred now", counts.deferred.current), ("opened", counts.opens.unique),
            ("clicked", counts.clicks.unique), ("complained", counts.complaints),
            ("unsubscribed", counts.unsubscriptions),
        ],
    )  # fmt: skip


@click.command()
@click.argument("message_id")
@as_json
def message(message_id: str, as_json: bool) -> None:
    """What happened to one message: <job>.<ordinal>."""
    from services.reports.shown import message_shown
    from shared.words import ids

    job, ordinal = _split(message_id)

    async def look(reader: Any, _: Any) -> Any:
        found = await reader.job(job)
        if found is None or ordinal >= found.total:
            raise LookupError(f"there is no message {message_id!r:.60}")
        return await message_shown(reader, job, ordinal)

    state, lines = _read(look)
    if as_json:
        show_json({"id": ids.message_id(job, ordinal), "state": state, "timeline": msgspec.to_builtins(lines)})
        return
    click.echo(f"{message_id}: {state}")
    for line in lines:
        click.echo(f"{line.time}  {line.type:<22}  {details_line(line.details)}")


def _split(message_id: str) -> tuple[str, int]:
    from shared.words import ids

    try:
        return ids.split_message_id(message_id)
    except ValueError as fault:
        fail(str(fault))


@jobs.command("cancel")
@click.argument("job")
@why_option
def cancel_job(job: str, why: str) -> None:
    """Cancel a job: recipients without an end get none of it."""
    done_line(acting(why, "", lambda operator, act: operator.cancel_job(job, "operator", act)))


@jobs.command("suspend")
@click.argument("job")
@until_option
@why_option
def suspend_job(job: str, until: str, why: str) -> None:
    """Send nothing of a job."""
    done_line(acting(why, until, lambda operator, act: operator.suspend_job(job, act)))


@jobs.command("resume")
@click.argument("job")
@why_option
def resume_job(job: str, why: str) -> None:
    """End the suspension of a job."""
    done_line(acting(why, "", lambda operator, act: operator.resume_job(job, act)))


def _read(look: Callable[[Any, Any], Awaitable[Any]]) -> Any:
    """What `look` finds with the reader of reports and the list of jobs."""

    async def reading(client: Any, settings: Settings) -> Any:
        return await look(*read_reports(client, settings))

    return with_redis(reading)


def read_reports(client: Any, settings: Settings) -> tuple[Any, Any]:
    """The reader of reports and the list of jobs."""
    from services.reports.job_list import JobList
    from services.reports.store import ReportReader
    from shared.redis.cancels import CancelList, Cancels
    from shared.redis.stops import StopList

    reader = ReportReader(client, settings.redis.partitions)
    return reader, JobList(reader, StopList(client), Cancels(CancelList(client)))
